//! Bounds on free text that ends up in the replicated log.

/// The longest detail, error or reason kept, in bytes. Two lines of a terminal say enough; the
/// log and every snapshot carry it.
pub(crate) const MAX_TEXT: usize = 300;

/// `text`, cut to at most [`MAX_TEXT`] bytes on a character boundary, with `…` where it was cut.
pub(crate) fn clip(text: &str) -> String {
    const MARK: &str = "…";
    if text.len() <= MAX_TEXT {
        return text.to_owned();
    }
    let mut end = MAX_TEXT - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters() {
        for unit in ["x", "é", "€", "🚆"] {
            let clipped = clip(&unit.repeat(MAX_TEXT));
            assert!(clipped.len() <= MAX_TEXT, "{unit}");
            assert!(clipped.ends_with('…') || unit == "x" && clipped.len() == MAX_TEXT, "{unit}");
        }
        assert_eq!(clip("short"), "short");
    }
}
