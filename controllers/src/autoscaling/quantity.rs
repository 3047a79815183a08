//! Quantities as numbers to divide.

use api::quantity::Quantity;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

/// Thousandths.
pub(super) fn milli(quantity: &Text) -> Option<i64> {
    quantity.0.parse::<Quantity>().ok().map(Quantity::milli_value)
}

/// The number itself.
#[allow(clippy::cast_precision_loss, reason = "shares and tolerances are small numbers")]
pub(super) fn number(quantity: &Text) -> Option<f64> {
    milli(quantity).map(|milli| milli as f64 / 1000.0)
}
