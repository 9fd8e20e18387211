//! Mapping files of sources, read from disk.

use std::path::Path;
use std::sync::Arc;

use ingest::mapping::Mapping;

use crate::exit::failure;

/// Reads and checks a mapping file.
///
/// # Errors
/// Its author's, with this exit code: every problem as `file:line:column: what`, one a line.
pub fn read(path: &Path, code: u8) -> anyhow::Result<Arc<Mapping>> {
    let text = std::fs::read_to_string(path).map_err(|e| failure(code, format!("mapping {}: {e}", path.display())))?;
    Mapping::read(&text).map(Arc::new).map_err(|problems| {
        let told: Vec<String> = problems.iter().map(|p| format!("{}:{p}", path.display())).collect();
        failure(code, told.join("\n"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::exit::CONFIGURATION;
    use detect::reference::Tables;

    const MAPPING: &str = "name = \"petty-cash\"\nzone = \"Europe/Berlin\"\n[action]\nfrom = \"what\"\n";

    fn configured(mapping: &str, source: &str) -> anyhow::Result<Config> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("petty.toml"), mapping)?;
        let path = folder.path().join("docket.toml");
        std::fs::write(&path, format!("[sources.petty]\n{source}\n"))?;
        Config::read(&path)
    }

    #[test]
    fn a_source_has_a_mapping_its_zone_and_its_hash() {
        let config = configured(MAPPING, "mapping = \"petty.toml\"").expect("a configuration");
        let settings = config.ingest_settings(&Tables::default()).expect("settings");
        let source = settings.of("petty");
        assert_eq!(source.format.as_deref(), Some("mapped"));
        assert_eq!(source.time_zone.iana_name(), Some("Europe/Berlin"));
        assert_eq!(config.mappings["petty"].hash.len(), 64);
        let both = "mapping = \"petty.toml\"\ntimezone = \"Asia/Tokyo\"";
        let settings = configured(MAPPING, both)
            .expect("a configuration")
            .ingest_settings(&Tables::default())
            .expect("settings");
        assert_eq!(settings.of("petty").time_zone.iana_name(), Some("Asia/Tokyo"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (mapping, source, want) in [
            (
                MAPPING.replace("[action]", "[actoin]"),
                "mapping = \"petty.toml\"",
                "petty.toml:3:2: setting or section `actoin`",
            ),
            (MAPPING.into(), "mapping = \"other.toml\"", "other.toml"),
            (
                MAPPING.into(),
                "mapping = \"petty.toml\"\nformat = \"cef\"",
                "leave the format out",
            ),
            (MAPPING.into(), "format = \"mapped\"", "needs mapping"),
        ] {
            let error = configured(&mapping, source).expect_err(source);
            assert!(format!("{error:#}").contains(want), "{error:#}");
        }
        assert!(read(Path::new("/nowhere/x.toml"), CONFIGURATION).is_err());
    }
}
