//! An HTTP server that programs of this machine may ask, and no web page.
//!
//! A server on 127.0.0.1 is reached by every page that a browser of the machine has open: by its address, and by a name that
//! was made to lead there (DNS rebinding). So each request must name a host that is this machine, and may not come from a page,
//! unless the operator has named its origin. What a client sends and takes is bounded in time and in size.

#![deny(missing_docs)]

mod patient;
mod rules;
mod server;

pub use hyper::body::Bytes;
pub use hyper::{HeaderMap, Method, Request, Response, StatusCode, header};
pub use rules::{Host, Origin, Refusal};
pub use server::{Body, Limits, Server, Service};
