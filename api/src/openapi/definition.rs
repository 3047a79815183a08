//! The names of definitions: `io.k8s.api.apps.v1.Deployment`, as Kubernetes names its Go types,
//! and `com.example.stable.v1.CronTab` for custom resources.

use crate::resources::{Resource, Subresource};
use crate::schema;

/// The definition of a type of [`crate::schema`], such as `core.v1.Pod`.
pub(super) fn of_type(name: &str) -> String {
    let package = name.split('.').next().unwrap_or_default();
    let root = match package {
        "meta" => "io.k8s.apimachinery.pkg.apis",
        "api" | "runtime" | "util" => "io.k8s.apimachinery.pkg",
        "apiextensions" => "io.k8s.apiextensions-apiserver.pkg.apis",
        "apiregistration" => "io.k8s.kube-aggregator.pkg.apis",
        "metrics" => "io.k8s.metrics.pkg.apis",
        _ => "io.k8s.api",
    };
    format!("{root}.{name}")
}

/// The definition of a row's kind.
pub(super) fn of_row(row: &Resource) -> String {
    if !row.schema_type.is_empty() {
        return of_type(&row.schema_type);
    }
    let reversed: Vec<&str> = row.group.rsplit('.').collect();
    format!("{}.{}.{}", reversed.join("."), row.version, row.kind)
}

/// The group, version and kind that a subresource speaks.
pub(super) fn kind_of<'a>(row: &'a Resource, sub: &'a Subresource) -> (&'a str, &'a str, &'a str) {
    if sub.version.is_empty() {
        (&row.group, &row.version, &sub.kind)
    } else {
        (&sub.group, &sub.version, &sub.kind)
    }
}

/// The schema type of a kind, such as `policy.v1.Eviction`; `None` for kinds that are no built-in
/// types.
pub(super) fn type_of((group, version, kind): (&str, &str, &str)) -> Option<&'static str> {
    let package = match group.split('.').next().unwrap_or_default() {
        "" => "core",
        first => first,
    };
    schema::type_name(&format!("{package}.{version}.{kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::table;

    #[test]
    fn types_are_named_after_their_go_packages() {
        for (name, want) in [
            ("apps.v1.Deployment", "io.k8s.api.apps.v1.Deployment"),
            ("meta.v1.ObjectMeta", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
            ("api.resource.Quantity", "io.k8s.apimachinery.pkg.api.resource.Quantity"),
            ("util.intstr.IntOrString", "io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
            ("runtime.RawExtension", "io.k8s.apimachinery.pkg.runtime.RawExtension"),
            (
                "apiextensions.v1.CustomResourceDefinition",
                "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
            ),
            (
                "apiregistration.v1.APIService",
                "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
            ),
            ("metrics.v1beta1.PodMetrics", "io.k8s.metrics.pkg.apis.metrics.v1beta1.PodMetrics"),
        ] {
            assert_eq!(of_type(name), want);
        }
    }

    #[test]
    fn the_kind_of_every_row_has_the_rows_type() {
        for row in table() {
            let kind = (&*row.group, &*row.version, &*row.kind);
            assert_eq!(type_of(kind), Some(&*row.schema_type), "{}", row.plural);
        }
        assert_eq!(type_of(("example.com", "v1", "Pod")), None);
    }
}
