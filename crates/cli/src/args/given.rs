//! What a flag gives: a file to read, or a value in place of another.

use std::path::Path;

use backfill_core::{Error, Result};

/// Puts what a flag gives over what a file says.
pub fn over<T: Clone>(field: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        field.clone_from(flag);
    }
}

/// The text of a file that was given by this flag, without the byte order mark that some editors put before it.
///
/// Errors: `InvalidInput` naming flag and file.
pub fn read_file(flag: &str, path: &Path) -> Result<String> {
    let cannot = |why: &str| Error::invalid(flag, format!("cannot read {}: {why}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| cannot(&error.to_string()))?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        return Err(cannot("it is UTF-16; save it as UTF-8"));
    }
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let at = error.valid_up_to();
            Err(cannot(&format!("byte {at} is not UTF-8; save it as UTF-8")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read_file;

    #[test]
    fn a_byte_order_mark_is_taken_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spec.json");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_file("spec", &path).map_err(|error| error.to_string())
        };
        assert_eq!(read(b"\xef\xbb\xbf{}"), Ok("{}".to_owned()));
        assert_eq!(read("ä".as_bytes()), Ok("ä".to_owned()));
        for (bytes, why) in [
            (&b"\xff\xfe{\0}\0"[..], "UTF-16"),
            (b"{\xff}", "byte 1 is not UTF-8"),
        ] {
            let refused = read(bytes).unwrap_err();
            assert!(refused.starts_with("spec: cannot read"), "{refused}");
            assert!(refused.contains(why), "{refused}");
        }
    }
}
