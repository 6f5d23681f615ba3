//! How many calls an event costs, what Atlas's limits leave, and whose turn it is.

mod limits;
mod quiet;
mod refused;
mod table;
mod turns;
