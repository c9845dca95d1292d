//! What people see, made the same for every machine and moment, for snapshots.

/// The text with what differs from run to run replaced: the endpoint, times of day (RFC 3339), and all that follows the
/// words of `stream/`.
pub fn masked(text: &str, endpoint: &str) -> String {
    let text = text.replace(endpoint, "ENDPOINT");
    let mut out = String::new();
    let mut rest = &text[..];
    while !rest.is_empty() {
        let time = "0000-00-00T00:00:00Z";
        let is_time = rest.is_char_boundary(time.len().min(rest.len()))
            && rest.len() >= time.len()
            && rest
                .bytes()
                .zip(time.bytes())
                .all(|(found, form)| match form {
                    b'0' => found.is_ascii_digit(),
                    form => found == form,
                });
        let skipped = if is_time {
            out.push_str("TIME");
            time.len()
        } else if let Some(label) = rest.strip_prefix("/stream/") {
            out.push_str("/stream/LABEL");
            let end = label.find(char::is_whitespace).unwrap_or(label.len());
            "/stream/".len() + end
        } else {
            let c = rest.chars().next().expect("it is not empty");
            out.push(c);
            c.len_utf8()
        };
        rest = &rest[skipped..];
    }
    out
}
