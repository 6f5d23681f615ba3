//! How many calls an event costs, and what Atlas's limits leave.

mod limits;
mod quiet;
mod table;
