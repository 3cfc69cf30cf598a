//! A client of Fabric's Gateway and Deliver services.
