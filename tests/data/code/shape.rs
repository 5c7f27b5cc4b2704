use std::{fmt::{self, Display}, io::Read as R};
use crate::units::*;

/// The most sides.
pub const MOST: usize = 12;

/// A closed line. It has an area.
#[derive(Debug)]
pub struct Shape<T> {
    sides: Vec<T>,
}

pub trait Area {
    fn area(&self) -> f64;
}

impl<T> Area for Shape<T> {
    // Of all of it.
    fn area(&self) -> f64 {
        let total = compute(self.sides.len());
        println!("{}", total);
        fmt::format(total)
    }
}

enum Kind {
    Round,
    Flat,
}

macro_rules! square {
    ($x:expr) => { $x * $x };
}

mod tests {
    pub fn works() {}
}
