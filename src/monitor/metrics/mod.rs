use super::endpoints::{Endpoints, Refusal};
use super::http::request::Request;
use super::http::response::Response;
pub(super) fn metrics(_: &Endpoints, _: &Request) -> Result<Response, Refusal> {
    Ok(Response::text(200, ""))
}
