//! Batched modular exponentiation modulo N and N².
