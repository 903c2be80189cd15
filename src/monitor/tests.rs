//! Endpoints of a server without shards: what does not depend on them.

use std::net::Ipv4Addr;

use super::endpoints::Endpoints;
use super::http::Answer;
use super::http::request::Request;
use super::query::Query;
use super::*;

fn endpoints(base: &str) -> Endpoints {
    let facts = Facts {
        identity: Identity::new(Some("one")).unwrap(),
        limits: Limits::default(),
        auth_required: false,
        accounts: Vec::new(),
        terms: Arc::default(),
        proxies: Vec::new(),
        system_account: "OPS".to_owned(),
        endpoint: Endpoint { host: Ipv4Addr::LOCALHOST.to_string(), port: 8222 },
        secure: false,
        tls: None,
        clients: None,
        base_path: base_path(base),
        cores: 1,
        tags: Vec::new(),
        metadata: BTreeMap::new(),
        config_digest: String::new(),
        program: "ringbus".to_owned(),
        loaded: None,
    };
    Endpoints::new(SharedFacts::new(facts), Inspector::default())
}

fn get(endpoints: &Endpoints, path: &str, accept: &str) -> (u16, String) {
    let request =
        Request { path: path.to_owned(), accept: accept.to_owned(), ..Request::default() };
    let response = endpoints.answer(&request);
    (response.status, String::from_utf8(response.body.into_owned()).unwrap())
}

#[test]
fn a_base_path_is_in_front_of_everything() {
    for text in ["mon", "/mon", "/mon/", "//mon//./"] {
        let endpoints = endpoints(text);
        for path in ["/mon", "/mon/", "/mon/varz", "/mon/ui.js", "/mon/subscriptionsz"] {
            assert_eq!(get(&endpoints, path, "").0, 200, "{text} {path}");
        }
        for path in ["/", "/varz", "/mon/varz/", "/monvarz", "/mon/nope", "", "/mon//varz"] {
            assert_eq!(get(&endpoints, path, ""), (404, "404 page not found\n".to_owned()));
        }
        assert!(get(&endpoints, "/mon", "").1.contains("href=\"/mon/varz\""));
    }
    assert_eq!(base_path("/"), "");
}

#[test]
fn requests_are_counted_by_path() {
    let endpoints = endpoints("");
    for path in ["/subsz", "/subscriptionsz", "/varz", "/nope", "/stacksz"] {
        get(&endpoints, path, "");
    }
    let varz = get(&endpoints, "/varz", "").1;
    assert!(
        varz.contains("\"http_req_stats\": {\n    \"/subsz\": 2,\n    \"/varz\": 2\n  }"),
        "{varz}"
    );
}

#[test]
fn advisory_2026_28_pages_beyond_the_end_are_empty() {
    let endpoints = endpoints("");
    for (path, page) in [("/connz", ""), ("/connz", "state=closed&"), ("/subsz", "subs=1&")] {
        for offset in ["1", "9223372036854775807", "-9223372036854775808"] {
            for limit in ["1", "9223372036854775807", "-1"] {
                let query = Query::parse(&format!("{page}offset={offset}&limit={limit}"));
                let request = Request { path: path.to_owned(), query, ..Request::default() };
                let response = endpoints.answer(&request);
                let body = String::from_utf8(response.body.into_owned()).unwrap();
                assert!(response.status == 200 && body.contains("\"total\": 0"), "{path} {body}");
            }
        }
    }
}

#[test]
fn the_root_is_a_page_or_a_list() {
    let endpoints = endpoints("");
    for accept in ["", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8"] {
        assert!(get(&endpoints, "/", accept).1.starts_with("<!doctype html>"), "{accept}");
    }
    let list: Vec<String> =
        serde_json::from_str(&get(&endpoints, "/", "application/json").1).unwrap();
    for path in list.iter().filter(|path| *path != "/raftz") {
        assert_eq!(get(&endpoints, path, "").0, 200, "{path}");
    }
}

#[test]
fn the_page_is_small_and_loads_nothing_from_elsewhere() {
    let endpoints = endpoints("");
    let mut total = 0;
    for path in ["/", "/ui.js", "/ui.css", "/favicon.svg"] {
        let text = get(&endpoints, path, "text/html").1;
        let elsewhere = [
            "https://",
            "src=\"http",
            "href=\"http",
            "@import",
            "url(",
            "innerHTML",
            "<style",
            "onclick",
        ];
        for bad in elsewhere {
            assert!(!text.contains(bad), "{path} has {bad}");
        }
        assert!(!text.contains("{{"), "{path} was not filled in");
        total += text.len();
    }
    assert!(total <= 60 << 10, "{total} bytes");
    let request = Request { path: "/".to_owned(), ..Request::default() };
    let page = endpoints.answer(&request);
    let policy =
        page.headers.iter().find(|(name, _)| *name == "Content-Security-Policy").unwrap().1;
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"));
    assert!(!policy.contains("unsafe"), "{policy}");
}

#[test]
fn the_links_of_the_reference_are_on_the_page() {
    let page = get(&endpoints(""), "/", "text/html").1;
    let names =
        "varz jsz connz accountz accstatz subsz routez leafz gatewayz raftz healthz debug/vars";
    for name in names.split(' ') {
        assert!(page.contains(&format!("<a href=\"/{name}\">")), "{name}");
    }
}
