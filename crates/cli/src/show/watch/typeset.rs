//! Text in lines of a given width.

use backfill_core::text::visible;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

pub use crate::show::words::fit;

/// " label     spans", cut at the width.
pub fn fact(label: &str, spans: Vec<Span<'static>>, width: usize) -> Line<'static> {
    let mut line = vec![Span::styled(
        format!(" {label:<10}"),
        Style::new().add_modifier(Modifier::BOLD),
    )];
    let mut room = width.saturating_sub(line[0].width());
    for span in spans {
        let text = fit(&span.content, room);
        room = room.saturating_sub(Span::raw(text.as_str()).width());
        line.push(Span::styled(text, span.style));
    }
    Line::from(line)
}

/// The text in lines of this width, broken between words.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in visible(text).lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let wide = Span::raw(line.as_str()).width() + 1 + Span::raw(word).width();
            if !line.is_empty() && wide > width {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// A part from 0 to 1 as a bar.
pub fn bar_text(part: f64, width: usize) -> String {
    let full = ((part.clamp(0.0, 1.0) * width as f64) as usize).min(width);
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// "21:05:12".
pub fn clock(ms: u64) -> String {
    let seconds = ms / 1000 % 86_400;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}
