//! `wctl top`: what nodes and pods use, as `kubectl top` shows it.

use anyhow::{Result, bail};
use api::quantity::Quantity;
use serde_json::Value;

use crate::cli::{Global, Top, TopOrder, TopSubject};
use crate::cluster::Cluster;
use crate::commands::get;
use crate::output::line;
use crate::output::table::Grid;
use crate::request;
use crate::resource::{Resources, Target};

/// Bytes of the unit in which memory is shown.
const MIB: i64 = 1 << 20;

/// CPU in thousandths of a core, and memory in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Usage {
    cpu: i64,
    memory: i64,
}

impl Usage {
    /// Of a map of quantities, such as `usage` or `allocatable`.
    fn of(amounts: &Value) -> Self {
        let amount = |name: &str| amounts[name].as_str()?.parse::<Quantity>().ok();
        Self {
            cpu: amount("cpu").map_or(0, Quantity::milli_value),
            memory: amount("memory").map_or(0, Quantity::value),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory }
    }

    fn cells(self) -> [String; 2] {
        [format!("{}m", self.cpu), format!("{}Mi", self.memory / MIB)]
    }
}

/// One line: its names, and the rest.
type Row = (Vec<String>, Usage);

/// Prints what is used now.
pub(crate) async fn run(global: &Global, arguments: &Top) -> Result<()> {
    let cluster = Cluster::connect(global).await?;
    let resources = Resources::discover(&cluster.client).await?;
    let resource = resources.find(match arguments.subject {
        TopSubject::Nodes => "nodes.metrics.k8s.io",
        TopSubject::Pods => "pods.metrics.k8s.io",
    })?;
    let target = Target { resource, name: arguments.name.clone() };
    let items = get::fetch(&cluster, &arguments.selection, &target).await?;
    if items.is_empty() {
        bail!(
            "there are no metrics: pods have some a few seconds after their start, and none where the \
             host gives their node no cgroups"
        );
    }
    let grid = match arguments.subject {
        TopSubject::Nodes => {
            let nodes = request::get(&cluster.client, "/api/v1/nodes").await?;
            of_nodes(&items, &nodes, arguments.sort_by)
        }
        TopSubject::Pods => of_pods(
            &items,
            arguments.selection.all_namespaces,
            arguments.containers,
            arguments.sort_by,
        ),
    };
    line(grid.render(!arguments.no_headers).trim_end())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// By name, or the most used first.
fn sort(rows: &mut [Row], order: Option<TopOrder>) {
    rows.sort_by(|(a, used_a), (b, used_b)| match order {
        Some(TopOrder::Cpu) => used_b.cpu.cmp(&used_a.cpu).then_with(|| a.cmp(b)),
        Some(TopOrder::Memory) => used_b.memory.cmp(&used_a.memory).then_with(|| a.cmp(b)),
        None => a.cmp(b),
    });
}

fn of_nodes(metrics: &[Value], nodes: &Value, order: Option<TopOrder>) -> Grid {
    let mut rows: Vec<Row> = metrics
        .iter()
        .map(|node| (vec![text(&node["metadata"]["name"])], Usage::of(&node["usage"])))
        .collect();
    sort(&mut rows, order);
    let mut grid = Grid::new(&["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"]);
    let share = |used: i64, of: i64| match of {
        0 => "<unknown>".to_owned(),
        of => format!("{}%", used.saturating_mul(100) / of),
    };
    for (names, usage) in rows {
        let mut known = nodes["items"].as_array().into_iter().flatten();
        let node = known.find(|node| node["metadata"]["name"] == *names[0]);
        let room = node.map(|node| Usage::of(&node["status"]["allocatable"])).unwrap_or_default();
        let [cpu, memory] = usage.cells();
        let shares = [share(usage.cpu, room.cpu), share(usage.memory, room.memory)];
        let [cpu_share, memory_share] = shares;
        grid.row([names, vec![cpu, cpu_share, memory, memory_share]].concat());
    }
    grid
}

fn of_pods(
    metrics: &[Value],
    all_namespaces: bool,
    containers: bool,
    order: Option<TopOrder>,
) -> Grid {
    let mut rows: Vec<Row> = Vec::new();
    for pod in metrics {
        let namespace = all_namespaces.then(|| text(&pod["metadata"]["namespace"]));
        let mut names = Vec::from_iter(namespace);
        names.push(text(&pod["metadata"]["name"]));
        let used = pod["containers"].as_array().into_iter().flatten();
        let used = used.map(|of| (text(&of["name"]), Usage::of(&of["usage"])));
        if containers {
            rows.extend(used.map(|(name, usage)| ([&names[..], &[name]].concat(), usage)));
        } else {
            rows.push((names, used.fold(Usage::default(), |sum, (_, usage)| sum.plus(usage))));
        }
    }
    sort(&mut rows, order);
    let namespace = all_namespaces.then_some("NAMESPACE");
    let names: &[&str] = if containers { &["POD", "NAME"] } else { &["NAME"] };
    let headers = namespace.iter().chain(names).chain(&["CPU(cores)", "MEMORY(bytes)"]);
    let mut grid = Grid::new(&headers.copied().collect::<Vec<_>>());
    for (names, usage) in rows {
        grid.row([names, usage.cells().to_vec()].concat());
    }
    grid
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods() -> Vec<Value> {
        let container = |name: &str, cpu: &str, memory: &str| json!({"name": name, "usage": {"cpu": cpu, "memory": memory}});
        let pod = |name: &str, containers: Value| json!({"metadata": {"name": name, "namespace": "n"}, "containers": containers});
        vec![
            pod("a", json!([container("x", "1500000n", "1Mi"), container("y", "10m", "2Mi")])),
            pod("b", json!([container("x", "1", "512Ki")])),
        ]
    }

    #[test]
    fn pods_are_shown_as_a_whole_or_by_container() {
        let shown = |all, containers, order| of_pods(&pods(), all, containers, order).render(true);
        assert_eq!(
            shown(false, false, None),
            "NAME   CPU(cores)   MEMORY(bytes)\n\
             a      12m          3Mi\n\
             b      1000m        0Mi\n"
        );
        let by_cpu = shown(true, false, Some(TopOrder::Cpu));
        let lines: Vec<&str> = by_cpu.lines().collect();
        assert!(lines[0].starts_with("NAMESPACE   NAME "), "{by_cpu}");
        assert!(lines[1].starts_with("n           b "), "{by_cpu}");
        let by_container = shown(false, true, Some(TopOrder::Memory));
        let names: Vec<&str> = by_container.lines().map(|line| &line[..10]).collect();
        assert_eq!(names, ["POD   NAME", "a     y   ", "a     x   ", "b     x   "]);
    }

    #[test]
    fn nodes_show_their_share() {
        let node = |name: &str| json!({"metadata": {"name": name}, "usage": {"cpu": "500m", "memory": "1Gi"}});
        let known = json!({"items": [{"metadata": {"name": "n"},
            "status": {"allocatable": {"cpu": "2", "memory": "4Gi"}}}]});
        let text = of_nodes(&[node("n"), node("gone")], &known, None).render(false);
        assert_eq!(
            text.lines().map(|line| line.split_whitespace().collect()).collect::<Vec<Vec<_>>>(),
            [
                ["gone", "500m", "<unknown>", "1024Mi", "<unknown>"],
                ["n", "500m", "25%", "1024Mi", "25%"]
            ]
        );
    }
}
