//! The picture in the README: the view half way through a run, as SVG. It is held to what the view draws.

use std::fmt::Write as _;
use std::path::Path;

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::samples::mid_run;
use super::snapshots::drawn;

const CELL_WIDTH: u32 = 9;
const CELL_HEIGHT: u32 = 19;
const MARGIN: u32 = 12;

/// The colours of a terminal with a dark ground.
fn hex(colour: Color) -> &'static str {
    match colour {
        Color::Red => "#ff6b68",
        Color::Green => "#5fb764",
        Color::Yellow => "#e5bf4a",
        Color::Blue => "#6a9bd8",
        Color::Cyan => "#4ec1c9",
        Color::DarkGray => "#6b7380",
        _ => "#d7dae0",
    }
}

/// How much of a block is filled; fonts draw blocks in many ways, a rectangle looks the same everywhere.
fn filled(symbol: &str) -> Option<&'static str> {
    match symbol {
        "█" => Some("1"),
        "▒" => Some("0.55"),
        "░" => Some("0.22"),
        _ => None,
    }
}

fn svg(buffer: &Buffer) -> String {
    let (columns, rows) = (u32::from(buffer.area.width), u32::from(buffer.area.height));
    let (width, height) = (
        columns * CELL_WIDTH + 2 * MARGIN,
        rows * CELL_HEIGHT + 2 * MARGIN,
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"backfill watch in a terminal\" font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" \
         font-size=\"15\">\n<rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"#1d2129\"/>\n"
    );
    for y in 0..rows {
        let line: Vec<&Cell> = (0..columns)
            .map(|x| &buffer[(x as u16, y as u16)])
            .collect();
        let mut x = MARGIN;
        let alike = |a: &&Cell, b: &&Cell| {
            (a.fg, a.modifier, filled(a.symbol())) == (b.fg, b.modifier, filled(b.symbol()))
        };
        for run in line.chunk_by(alike) {
            let top = MARGIN + y * CELL_HEIGHT;
            let wide = run.len() as u32 * CELL_WIDTH;
            let fill = hex(run[0].fg);
            let is_reversed = run[0].modifier.contains(Modifier::REVERSED);
            let text: String = run.iter().map(|cell| cell.symbol()).collect();
            if let Some(opacity) = filled(run[0].symbol()) {
                // A gap between rows, so that the strip is not one with the bar of another line.
                let (top, high) = (top + 2, CELL_HEIGHT - 4);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{top}\" width=\"{wide}\" height=\"{high}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>"
                );
            } else if !text.trim().is_empty() {
                let (fill, weight) = match is_reversed {
                    true => ("#1d2129", "bold"),
                    false if run[0].modifier.contains(Modifier::BOLD) => (fill, "bold"),
                    false => (fill, "normal"),
                };
                if is_reversed {
                    let _ = writeln!(
                        svg,
                        "<rect x=\"{x}\" y=\"{top}\" width=\"{wide}\" height=\"{CELL_HEIGHT}\" fill=\"#d7dae0\"/>"
                    );
                }
                let text = text
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;");
                let base = top + 14;
                let _ = writeln!(
                    svg,
                    "<text x=\"{x}\" y=\"{base}\" fill=\"{fill}\" font-weight=\"{weight}\" textLength=\"{wide}\" \
                     xml:space=\"preserve\">{text}</text>"
                );
            }
            x += wide;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// With `INSTA_UPDATE=always` it is drawn anew.
#[test]
fn the_picture_in_the_readme_is_what_the_view_draws() {
    let (view, now) = mid_run();
    let svg = svg(&drawn(&view, now, 100, 30));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/watch.svg");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, &svg).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == svg,
        "docs/watch.svg is not what the view draws; INSTA_UPDATE=always cargo test -p backfill-cli watch draws it anew"
    );
}
