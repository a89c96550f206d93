//! Coordinators whose disks fill up or hang.

mod full;
mod hung;
mod operator;
