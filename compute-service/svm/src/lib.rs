//! Support vector machines trained on data that nobody pools.
