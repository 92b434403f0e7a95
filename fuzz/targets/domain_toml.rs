//! A definition and its schemas: accepted with everything that follows from it, or refused with places that exist. The input is
//! the definition, then after each line `%%%` the path of a schema and the schema.
#![no_main]

use std::collections::BTreeMap;

use comms_domain::{Domain, Layout, NodeId};
use comms_msg::Kind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut parts = text.split("%%%\n");
    let toml = parts.next().unwrap_or_default();
    let schemas: BTreeMap<String, String> = parts
        .filter_map(|part| part.split_once('\n'))
        .map(|(path, json)| (path.to_owned(), json.to_owned()))
        .collect();
    match Domain::parse("domain.toml", toml, &schemas) {
        Ok(domain) => {
            assert_eq!(
                Domain::parse("domain.toml", toml, &schemas).map(|again| again.digest()),
                Ok(domain.digest())
            );
            for kind in [Kind::Command, Kind::Query, Kind::Event] {
                for name in domain.types(kind) {
                    assert!(!domain.explain(name).expect("the domain names it").to_string().is_empty());
                }
            }
            let node = NodeId::standalone("node".parse().expect("a name"), [7; 32]);
            let layout = Layout::of(&domain, &node);
            assert_eq!(layout, Layout::of(&domain, &node));
        }
        Err(problems) => {
            assert!(!problems.to_string().is_empty());
            for problem in &problems {
                assert!(problem.line >= 1 && problem.column >= 1, "{problem:?}");
                if problem.file == "domain.toml" {
                    assert!(problem.line <= toml.split('\n').count(), "{problem:?}");
                }
            }
        }
    }
});
