//! Charts as SVG text, in the colours of the light theme, which the page's style sheet turns into those of the dark one.

use std::ops::Range;

use backfill_core::view::series::{Rates, Series};
use backfill_core::{Error, ErrorKind, Result};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::show::words::{decimal, time};

/// What the style sheet knows by these values. The two hues are those of the palette of Okabe and Ito, which people with a
/// colour vision deficiency can tell apart.
const FIRST: RGBColor = RGBColor(0x00, 0x72, 0xB2);
const SECOND: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
const TEXT: RGBColor = RGBColor(0x51, 0x5B, 0x66);
const RULE: RGBColor = RGBColor(0xD8, 0xDE, 0xE4);

/// Height of the text in a chart; plotters makes of it a font of 12 px.
const TEXT_PX: u32 = 15;

/// Units per second that a run might use, from this time on; milliseconds since 1970.
pub type BudgetStep = (u64, Option<u32>);

/// One line of a chart.
pub struct Line {
    pub name: &'static str,
    pub value: fn(&Rates) -> f64,
    /// What it may not pass, drawn as a dashed line; empty if there is no such thing.
    pub budget: Vec<BudgetStep>,
}

/// Lines over time, at most two.
pub struct Chart {
    /// Unit of the vertical axis.
    pub unit: &'static str,
    pub lines: Vec<Line>,
}

/// What is drawn on: axes of time and of units per second.
type Grid<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<TimeAxis, RangedCoordf64>>;

/// A drawing, or why plotters could not draw it.
type Drawn<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Width and height in CSS pixels at which the text is readable.
pub type Size = (u32, u32);

/// The horizontal axis: the time at work, with idle times cut out.
struct Axis<'a>(&'a Series);

impl Axis<'_> {
    /// Where each bin begins and ends, in milliseconds at work.
    fn edges(&self) -> Vec<(f64, f64)> {
        let mut at = 0.0;
        let widths = self.0.bins.iter().map(|bin| bin.to_ms - bin.from_ms);
        widths
            .map(|width| {
                let from = at;
                at += width;
                (from, at)
            })
            .collect()
    }

    /// The bins before which time is cut out.
    fn gaps(&self) -> Vec<usize> {
        let bins = &self.0.bins;
        (1..bins.len())
            .filter(|&i| bins[i].from_ms - bins[i - 1].to_ms > 1.0)
            .collect()
    }

    /// The place of a time; one that is cut out, or before or after it all, is that of the next or last bin.
    fn place(&self, ms: f64) -> f64 {
        let mut place = 0.0;
        for (bin, (from, to)) in self.0.bins.iter().zip(self.edges()) {
            if ms < bin.from_ms {
                return from;
            }
            place = (from + ms - bin.from_ms).min(to);
            if ms < bin.to_ms {
                break;
            }
        }
        place
    }

    /// The wall time of a place.
    fn time(&self, place: f64) -> f64 {
        let edges = self.edges();
        let bins = self.0.bins.iter().zip(edges);
        let found = bins.take_while(|(_, (from, _))| *from <= place).last();
        found.map_or(0.0, |(bin, (from, _))| bin.from_ms + place - from)
    }

    /// Places of round times, at most so many, that are not too near to each other.
    fn labels(&self, most: usize) -> Vec<f64> {
        const STEPS_S: [u64; 18] = [
            1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
            86_400, 604_800,
        ];
        let edges = self.edges();
        let whole = edges.last().map_or(0.0, |(_, to)| *to);
        for step in STEPS_S {
            let step = (step * 1000) as f64;
            if whole / step > (most * 3) as f64 {
                continue;
            }
            let mut places: Vec<f64> = Vec::new();
            for (bin, (from, _)) in self.0.bins.iter().zip(&edges) {
                let mut round = (bin.from_ms / step).ceil() * step;
                while round < bin.to_ms {
                    let place = from + round - bin.from_ms;
                    // Behind a gap the next label may come too soon.
                    if places.last().is_none_or(|last| place - last > step * 0.6) {
                        places.push(place);
                    }
                    round += step;
                }
            }
            let near = whole / most as f64 * 0.6;
            let crowded = places.windows(2).any(|pair| pair[1] - pair[0] < near);
            if places.len() <= most && !crowded {
                return places;
            }
        }
        Vec::new()
    }

    /// A time, written as short as tells the labels apart.
    fn label(&self, place: f64) -> String {
        let text = time(self.time(place).round() as u64);
        let (date, clock) = (&text[5..10], &text[11..19]);
        let bins = &self.0.bins;
        let span = bins.last().map_or(0.0, |bin| bin.to_ms) - bins[0].from_ms;
        match span {
            span if span > 20.0 * 3_600_000.0 => format!("{date} {}", &clock[..5]),
            span if span > 600_000.0 => clock[..5].into(),
            _ => clock.into(),
        }
    }
}

/// [`Axis`] for plotters, with its labels.
struct TimeAxis {
    end: f64,
    labels: Vec<(f64, String)>,
}

impl Ranged for TimeAxis {
    type ValueType = f64;
    type FormatOption = NoDefaultFormatting;

    fn range(&self) -> Range<f64> {
        0.0..self.end
    }

    fn map(&self, place: &f64, (from, to): (i32, i32)) -> i32 {
        from + (f64::from(to - from) * place / self.end).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        self.labels.iter().map(|(place, _)| *place).collect()
    }
}

impl ValueFormatter<f64> for TimeAxis {
    fn format_ext(&self, place: &f64) -> String {
        let label = self.labels.iter().find(|(at, _)| at == place);
        label.map_or_else(String::new, |(_, label)| label.clone())
    }
}

/// A budget as stretches of places with its units per second.
fn stretches(axis: &Axis<'_>, steps: &[BudgetStep], end: f64) -> Vec<(f64, f64, f64)> {
    let ends = steps[1..]
        .iter()
        .map(|(at, _)| axis.place(*at as f64))
        .chain([end]);
    steps
        .iter()
        .zip(ends)
        .filter_map(|((at, units), to)| {
            let from = axis.place(*at as f64);
            (to > from).then_some((from, to, f64::from((*units)?)))
        })
        .collect()
}

impl Chart {
    /// Whether there is anything in it.
    pub fn is_empty(&self, series: &Series) -> bool {
        let nothing = |line: &Line| {
            series
                .bins
                .iter()
                .all(|bin| (line.value)(&bin.rates) <= 0.0)
        };
        self.lines.iter().all(nothing)
    }

    /// The elements of an `<svg>` of this size, without that tag.
    pub fn draw(&self, series: &Series, size: Size) -> Result<String> {
        let mut svg = String::new();
        self.draw_into(&mut svg, series, size).map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                format!("a chart of the report cannot be drawn: {error}"),
            )
        })?;
        // The tag belongs to the page, which says how wide it is shown.
        let inside = svg.split_once('>').map_or("", |(_, inside)| inside);
        Ok(inside.trim_end().trim_end_matches("</svg>").to_owned())
    }

    fn draw_into(&self, svg: &mut String, series: &Series, size: Size) -> Drawn<()> {
        let axis = Axis(series);
        let edges = axis.edges();
        let end = edges.last().map_or(1.0, |(_, to)| *to);
        let used = self.lines.iter().flat_map(|line| {
            let value = line.value;
            series.bins.iter().map(move |bin| value(&bin.rates))
        });
        let highest_use = used.fold(0.0, f64::max);
        // A budget far above all use would press the use flat; it is told in words.
        let in_sight = |(_, _, units): &(f64, f64, f64)| *units <= highest_use * 3.0;
        let budgets = self.lines.iter().map(|line| match line.budget.is_empty() {
            true => Vec::new(),
            false => {
                let mut budget = stretches(&axis, &line.budget, end);
                budget.retain(in_sight);
                budget
            }
        });
        let budgets: Vec<_> = budgets.collect();
        let highest = budgets
            .iter()
            .flatten()
            .map(|(_, _, units)| *units)
            .fold(highest_use, f64::max);

        let root = SVGBackend::with_string(svg, size).into_drawing_area();
        let mut chart = self.grid(&root, &axis, end, highest, size.0 > 500)?;
        let gaps = axis.gaps();
        // Two fills on top of each other would be neither hue.
        let fills = [FIRST.mix(0.12), TRANSPARENT];
        for ((line, colour), fill) in self.lines.iter().zip([FIRST, SECOND]).zip(fills) {
            let mut cuts = vec![0];
            cuts.extend(&gaps);
            cuts.push(edges.len());
            for cut in cuts.windows(2) {
                let part = cut[0]..cut[1];
                let points = series.bins[part.clone()].iter().zip(&edges[part]).flat_map(
                    |(bin, (from, to))| {
                        let value = (line.value)(&bin.rates);
                        [(*from, value), (*to, value)]
                    },
                );
                chart.draw_series(
                    AreaSeries::new(points, 0.0, fill).border_style(colour.stroke_width(2)),
                )?;
            }
        }
        for (budget, colour) in budgets.iter().zip([FIRST, SECOND]) {
            draw_budget(&mut chart, budget, colour)?;
        }
        for gap in gaps {
            let place = edges[gap].0;
            let line = [(place, 0.0), (place, highest * 1.08)];
            chart.draw_series(DashedLineSeries::new(line, 2, 3, TEXT.stroke_width(1)))?;
        }
        root.present()?;
        Ok(())
    }
    /// The axes and the rules between them.
    fn grid<'a>(
        &self,
        root: &DrawingArea<SVGBackend<'a>, Shift>,
        axis: &Axis<'_>,
        end: f64,
        highest: f64,
        is_wide: bool,
    ) -> Drawn<Grid<'a>> {
        let style = ("sans-serif", TEXT_PX).into_font().color(&TEXT);
        let labels = axis.labels(if is_wide { 8 } else { 4 }).into_iter();
        let x = TimeAxis {
            end,
            labels: labels.map(|place| (place, axis.label(place))).collect(),
        };
        let mut chart = ChartBuilder::on(root)
            .margin(4)
            .margin_top(10)
            .margin_right(14)
            .x_label_area_size(44)
            .y_label_area_size(66)
            .build_cartesian_2d(x, 0.0..highest.max(f64::MIN_POSITIVE) * 1.08)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RULE)
            .axis_style(TEXT)
            .label_style(style.clone())
            .axis_desc_style(style)
            .x_desc("time (UTC)")
            .y_desc(self.unit)
            .y_labels(5)
            .y_label_formatter(&|units| decimal(*units))
            .draw()?;
        Ok(chart)
    }
}

/// Draws a budget as a dashed line, with a step where one stretch follows another.
fn draw_budget(chart: &mut Grid<'_>, budget: &[(f64, f64, f64)], colour: RGBColor) -> Drawn<()> {
    let mut before: Option<(f64, f64)> = None;
    for &(from, to, units) in budget {
        let step = before.filter(|(end, _)| *end == from);
        let points = step.into_iter().chain([(from, units), (to, units)]);
        chart.draw_series(DashedLineSeries::new(points, 5, 4, colour.stroke_width(1)))?;
        before = Some((to, units));
    }
    Ok(())
}
