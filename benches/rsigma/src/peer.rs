//! RSigma's engine, set up as `rsigma engine eval` does it with log-source routing.

use detect::policy::SourceFile;
use rsigma_eval::{Engine, LogSourceExtractor};
use rsigma_parser::parse_sigma_yaml;

/// An engine of the files' rules, and what did not load.
pub fn engine(files: &[SourceFile], routed: bool) -> (Engine, Vec<String>) {
    let mut engine = Engine::new();
    let mut errors = Vec::new();
    let mut rules = Vec::new();
    for file in files {
        match parse_sigma_yaml(&file.text) {
            Ok(collection) => {
                errors.extend(collection.errors.iter().map(|e| format!("{}: {e}", file.name)));
                rules.extend(collection.rules);
            }
            Err(e) => errors.push(format!("{}: {e}", file.name)),
        }
    }
    for (index, e) in engine.add_rules(&rules) {
        errors.push(format!("{}: {e}", rules[index].title));
    }
    engine.set_logsource_extractor(routed.then(LogSourceExtractor::new));
    (engine, errors)
}
