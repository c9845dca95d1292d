//! What is paid.

use std::path::PathBuf;

use backfill_core::Result;
use backfill_core::view::cost::Prices;
use clap::Args;

use super::given::read_file;

/// What is paid.
#[derive(Args, Default)]
pub struct PriceArgs {
    /// JSON file with prices, to override those built in.
    #[arg(long, value_name = "FILE")]
    price_file: Option<PathBuf>,
}

impl PriceArgs {
    /// The prices of the file, or those built in.
    pub fn read(&self) -> Result<Prices> {
        let Some(path) = &self.price_file else {
            return Ok(Prices::default());
        };
        let json = read_file("price-file", path)?;
        Prices::from_json(&json)
            .map_err(|error| error.context(format!("price file {}", path.display())))
    }
}
