//! The policies that the server runs: those in the binary, and the operator's files.

use detect::policy::Loaded;
use include_dir::{Dir, include_dir};

use crate::config::PolicySource;

/// `policies/` as it was when the binary was built.
static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../policies");

/// Files of policies, ready to run.
pub fn texts(sources: &[PolicySource]) -> anyhow::Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for source in sources {
        match source {
            PolicySource::BuiltIn => built_in(&BUILT_IN, &mut texts),
            PolicySource::Path(path) => detect_files(path, &mut texts)?,
        }
    }
    Ok(texts)
}

/// Loads them. A broken policy is reported and the others run.
pub fn load(sources: &[PolicySource]) -> anyhow::Result<Loaded> {
    let loaded = detect::policy::load(&texts(sources)?);
    for error in &loaded.errors {
        tracing::error!(%error, "Policy not loaded.");
    }
    Ok(loaded)
}

fn built_in(dir: &Dir<'_>, texts: &mut Vec<(String, String)>) {
    for file in dir.files() {
        let name = file.path().display().to_string();
        if is_policy(&name)
            && let Some(text) = file.contents_utf8()
        {
            texts.push((format!("built-in/{name}"), text.to_owned()));
        }
    }
    dir.dirs().for_each(|d| built_in(d, texts));
}

fn detect_files(path: &std::path::Path, texts: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    use anyhow::Context as _;
    if path.is_dir() {
        let mut entries: Vec<_> = std::fs::read_dir(path)
            .with_context(|| path.display().to_string())?
            .filter_map(|e| Some(e.ok()?.path()))
            .collect();
        entries.sort();
        return entries.iter().filter(|p| p.is_dir() || is_policy(&p.to_string_lossy())).try_for_each(|p| detect_files(p, texts));
    }
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    texts.push((path.display().to_string(), String::from_utf8_lossy(&text).into_owned()));
    Ok(())
}

fn is_policy(name: &str) -> bool {
    (name.ends_with(".yml") || name.ends_with(".yaml")) && !name.contains(".test.y")
}
