//! The function, as Lambda starts it.

use std::io;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use orders_consumer::{Batch, consume};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let consumer = async |event: LambdaEvent<Batch>| {
        Ok::<_, Error>(consume(&event.payload, &mut io::stdout().lock()))
    };
    lambda_runtime::run(service_fn(consumer)).await
}
