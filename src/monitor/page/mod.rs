//! The status page: static files in the binary, alive by polling the JSON endpoints. It loads
//! nothing from elsewhere, and its policy forbids it to.

use super::endpoints::Endpoints;
use super::http::request::Request;
use super::http::response::Response;

const INDEX: &str = include_str!("index.html");
const SCRIPT: &str = include_str!("ui.js");
const STYLE: &str = include_str!("ui.css");
const ICON: &str = include_str!("favicon.svg");

/// What the page may do: its own script, style and figures, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The page, for whoever does not prefer JSON: then the list of endpoints.
pub(super) fn index(endpoints: &Endpoints, request: &Request) -> Response {
    if request.likes("application/json") > request.likes("text/html") {
        let names = ["varz", "jsz", "connz", "accountz", "accstatz", "subsz", "routez", "leafz"];
        let more = ["gatewayz", "raftz", "healthz", "debug/vars", "shardz", "metrics"];
        let base = endpoints.facts().base_path.clone();
        let list: Vec<_> = names.iter().chain(&more).map(|name| format!("{base}/{name}")).collect();
        return Response::json(200, super::json::pretty(&list, "  "));
    }
    // Relative links work only below a path that ends in a slash.
    let base = format!("{}/", endpoints.facts().base_path);
    let escaped = base.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let page = INDEX.replace("{{base}}", &escaped);
    Response::of("text/html; charset=utf-8", page.into_bytes())
        .with("Content-Security-Policy", POLICY)
        .with("Referrer-Policy", "no-referrer")
        .with("Cache-Control", "no-cache")
}

/// One of the files of the page.
pub(super) fn asset(path: &str) -> Response {
    let (media_type, text) = match path {
        "/ui.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/ui.css" => ("text/css; charset=utf-8", STYLE),
        _ => ("image/svg+xml", ICON),
    };
    Response::of(media_type, text.as_bytes()).with("Cache-Control", "no-cache")
}
