//! How much a population of bounded figures can come to, by a random sample of it, if most of them are 0 and a few are large.
//!
//! An interval by the variance of the sample fails here: if all pending items of a table lie in a few segments, most samples have
//! none of these, and a variance of 0. Auditors have the same question, by how much accounts are overstated in which they find no
//! fault or a few large ones, and answer it by Stringer's bound: K. W. Stringer, Practical aspects of statistical sampling in
//! auditing, Proceedings of the Business and Economic Statistics Section of the American Statistical Association, 1963; P. J. Bickel,
//! Inference and auditing: the Stringer bound, International Statistical Review 60, 1992, which shows that it is conservative for
//! large samples. That it is for small ones as well has not been proven, and no case is known in which it is not: the tests of
//! `sample.rs` hold it against tables of many kinds. With no fault found it is exact: the rule of three.

/// Most steps that a sum of quantiles has: figures that are close together count as the largest of them, which errs upwards.
const MOST_STEPS: usize = 256;

/// Halvings of an interval of 0 to 1: more tell no difference.
const HALVINGS: u32 = 40;

/// The number that the mean of a population is above with a probability of `risk` at most, 0 to 1. It is the mean of figures of 0
/// to 1, of which `positive` were drawn at random, beside so many zeros that `drawn` were drawn in all.
pub(super) fn highest_mean(mut positive: Vec<f64>, drawn: usize, risk: f64) -> f64 {
    positive.sort_by(|one, other| other.total_cmp(one));
    let at_a_step = positive.len().div_ceil(MOST_STEPS).max(1);
    let mut known = 0;
    let mut part = highest_part(0, drawn, risk);
    let mut mean = part;
    while known < positive.len() {
        let largest = positive[known];
        let like = positive[known..].partition_point(|figure| *figure == largest);
        known = (known + like.max(at_a_step)).min(positive.len());
        let next = highest_part(known, drawn, risk);
        mean += (next - part) * largest;
        part = next;
    }
    mean.min(1.0)
}

/// The part of a population that it is above with a probability of `risk` at most, if `hits` of `drawn` have what is looked for: the
/// upper limit of C. J. Clopper and E. S. Pearson, Biometrika 26, 1934. Of draws without replacement it is a little too high.
fn highest_part(hits: usize, drawn: usize, risk: f64) -> f64 {
    if hits >= drawn {
        return 1.0;
    }
    let (hits, drawn) = (hits as f64, drawn as f64);
    let (mut low, mut high) = (hits / drawn, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        // The probability of so many hits at most.
        match beta_part(1.0 - middle, drawn - hits, hits + 1.0) > risk {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

/// The regularized incomplete beta function, by its continued fraction (NIST Digital Library of Mathematical Functions, 8.17.22).
fn beta_part(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    // It comes to its value soon on this side of the mean alone.
    match x < (a + 1.0) / (a + b + 2.0) {
        true => front.exp() * beta_fraction(x, a, b) / a,
        false => 1.0 - front.exp() * beta_fraction(1.0 - x, b, a) / b,
    }
}

/// The continued fraction of [`beta_part`], by the method of Lentz (W. H. Press and others, Numerical Recipes, 5.2).
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const LEAST: f64 = 1e-300;
    /// Some square roots of the largest sample.
    const MOST_TERMS: u32 = 20_000;
    let not_zero = |number: f64| match number.abs() < LEAST {
        true => LEAST,
        false => number,
    };
    let mut c = 1.0;
    let mut d = 1.0 / not_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..MOST_TERMS {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for term in [even, odd] {
            d = 1.0 / not_zero(1.0 + term * d);
            c = not_zero(1.0 + term / c);
            fraction *= c * d;
        }
        if (fraction - before).abs() <= f64::EPSILON * fraction.abs() {
            break;
        }
    }
    fraction
}

/// The logarithm of the gamma function of 1 or more, by the series of Stirling (NIST Digital Library of Mathematical Functions,
/// 5.11.1).
fn ln_gamma(x: f64) -> f64 {
    /// From here on the terms below are exact to the last digits.
    const FAR: f64 = 10.0;
    let (mut x, mut before) = (x, 0.0);
    while x < FAR {
        before += x.ln();
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let terms = 1.0 / 12.0
        - square
            * (1.0 / 360.0
                - square * (1.0 / 1_260.0 - square * (1.0 / 1_680.0 - square / 1_188.0)));
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + terms / x - before
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With no hit the limit is known in closed form, and others are in tables: 2.5 % and 5 % of each side.
    #[test]
    fn the_limits_are_those_of_clopper_and_pearson() {
        for (hits, drawn, risk, limit) in [
            (0, 100, 0.05, 1.0 - 0.05_f64.powf(0.01)),
            (0, 1, 0.04, 0.96),
            (1, 10, 0.025, 0.445_016),
            (5, 10, 0.025, 0.812_914),
            (9, 10, 0.025, 0.997_471),
            (10, 10, 0.025, 1.0),
            (10, 1_000, 0.025, 0.018_313_2),
            (250_000, 500_000, 0.025, 0.501_387),
        ] {
            let found = highest_part(hits, drawn, risk);
            assert!(
                (found - limit).abs() < 2e-6,
                "{hits} of {drawn}: {found}, expected {limit}"
            );
        }
    }

    /// The probabilities of all numbers of hits, added up by hand.
    #[test]
    fn the_beta_function_is_the_sum_of_a_binomial_distribution() {
        for (drawn, part) in [(1_u32, 0.5), (7, 0.01), (40, 0.3), (40, 0.97)] {
            let mut probability = f64::powi(1.0 - part, drawn as i32);
            let mut sum = 0.0;
            for hits in 0..drawn {
                sum += probability;
                let (n, k) = (f64::from(drawn), f64::from(hits));
                let by_beta = beta_part(1.0 - part, n - k, k + 1.0);
                assert!(
                    (by_beta - sum).abs() < 1e-11,
                    "{hits} of {drawn}: {by_beta}, {sum}"
                );
                probability *= (n - k) / (k + 1.0) * part / (1.0 - part);
            }
        }
    }

    /// Whole figures are hits. Half of a figure counts less, and steps err upwards.
    #[test]
    fn figures_count_by_what_they_are() {
        let whole = highest_mean(vec![1.0; 3], 100, 0.05);
        assert!((whole - highest_part(3, 100, 0.05)).abs() < 1e-12);
        let none = highest_mean(Vec::new(), 100, 0.05);
        let halves = highest_mean(vec![0.5; 3], 100, 0.05);
        assert!((halves - f64::midpoint(none, whole)).abs() < 1e-12);
        let all = highest_mean(vec![1.0; 100], 100, 0.05);
        assert_eq!(all, 1.0);
        let many: Vec<f64> = (1..=10_000).map(|n| f64::from(n) / 10_000.0).collect();
        let mean = highest_mean(many.clone(), 20_000, 0.05);
        let exactly: f64 = many.windows(2).enumerate().fold(0.0, |sum, (k, two)| {
            sum + highest_part(10_000 - k - 1, 20_000, 0.05) * (two[1] - two[0])
        }) + highest_part(10_000, 20_000, 0.05) * many[0];
        assert!(
            mean >= exactly && mean < exactly + 0.003,
            "{mean}, {exactly}"
        );
    }
}
