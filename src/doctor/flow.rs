//! The flow that places calls: is it in Kestra, and does it fit what it is started with?

use super::Finding;
use crate::kestra::{
    Kestra,
    flow::{ALWAYS, CALL, CALL_ID, Flow, Input, Sought, WHERE_KNOWN},
};

const CHECK: &str = "kestra_flow";
/// Types that take no text as it is.
const NO_TEXT: [&str; 13] =
    ["ARRAY", "BOOL", "BOOLEAN", "DATE", "DATETIME", "DURATION", "EMAIL", "FILE", "FLOAT", "INT", "MULTISELECT", "TIME", "URI"];
/// Types that only take texts that the flow knows beforehand.
const CHOICES: [&str; 2] = ["ENUM", "SELECT"];

/// What an execution could not do.
struct Fault {
    /// No execution is started.
    stops: bool,
    words: String,
    advice: String,
}

/// Looks at it. Who does not rely on it need not have one.
pub(super) async fn examine(kestra: &Kestra) -> Vec<Finding> {
    let (flow, places) = (kestra.flow_name(), kestra.places());
    let missing = format!("there is no flow {flow}");
    match kestra.flow().await {
        Sought::Found(found) => judged(&found, &flow, places),
        Sought::Nothing if places => {
            let advice = "put examples/kestra/place_call.yaml into Kestra, or correct KESTRA_NAMESPACE, KESTRA_FLOW and KESTRA_TENANT";
            vec![finding(Fault { stops: true, words: missing, advice: advice.to_owned() }, places)]
        }
        Sought::Nothing => vec![Finding::ok(CHECK, &format!("{missing}; only calls with `callMethod: kestra` would need it"))],
        Sought::NotShown if places => {
            let words = format!("Kestra does not show us the flow {flow}, so nobody knows whether it fits");
            vec![Finding::warning(CHECK, &words).advise("let the user of KESTRA_USERNAME, or the token KESTRA_API_TOKEN, read flows")]
        }
        Sought::NotShown => vec![Finding::ok(CHECK, &format!("Kestra does not show us the flow {flow}, and nobody relies on it"))],
    }
}

fn judged(flow: &Flow, name: &str, places: bool) -> Vec<Finding> {
    let mut faults = Vec::new();
    if !flow.starts {
        let words = format!("the flow {name} can't be started: it is disabled, or Kestra can't read it");
        faults.push(Fault { stops: true, words, advice: "enable it, or mend it where Kestra shows it".to_owned() });
    }
    faults.extend(flow.inputs.iter().filter_map(|input| of_input(input, name)));
    if !flow.inputs.iter().any(|input| input.id == CALL || input.id == "provider_phone") {
        let words = format!("the flow {name} has no input {CALL}, so it can't know whom to call");
        faults.push(Fault { stops: false, words, advice: format!("give it the input {CALL}, of type JSON") });
    }
    if !flow.outputs.iter().any(|output| output == CALL_ID) {
        let words = format!("the flow {name} has no output {CALL_ID}, so it does not say which call it placed; webhooks have to");
        faults.push(Fault {
            stops: false,
            words,
            advice: format!("give it the output {CALL_ID}, as examples/kestra/place_call.yaml does"),
        });
    }
    if faults.is_empty() {
        return vec![Finding::ok(CHECK, &format!("the flow {name} takes what it is started with, and names its call"))];
    }
    faults.into_iter().map(|fault| finding(fault, places)).collect()
}

/// What is wrong with an input, if anything.
fn of_input(input: &Input, flow: &str) -> Option<Fault> {
    let Input { id, kind, is_needed } = input;
    let is_known = WHERE_KNOWN.contains(&id.as_str());
    if !is_known && !ALWAYS.contains(&id.as_str()) {
        let words = format!("the flow {flow} requires the input {id}, which it does not get");
        let advice = format!("give {id} a default or `required: false`");
        return is_needed.then_some(Fault { stops: true, words, advice });
    }
    let kind = kind.as_str();
    let takes = !NO_TEXT.contains(&kind) && if id == CALL { !CHOICES.contains(&kind) } else { kind != "JSON" };
    if !takes {
        let words = format!("the flow {flow} has the input {id} of type {kind}, which does not take what it gets");
        let advice = format!("make it {}", if id == CALL { "JSON" } else { "STRING" });
        return Some(Fault { stops: true, words, advice });
    }
    let words = format!("the flow {flow} requires the input {id}, which is not known of every call; those without it are refused");
    (is_known && *is_needed).then(|| Fault { stops: false, words, advice: format!("give {id} a default or `required: false`") })
}

fn finding(fault: Fault, places: bool) -> Finding {
    let Fault { stops, words, advice } = fault;
    let finding = match (stops, places) {
        (true, true) => Finding::error(CHECK, &format!("{words}; with KESTRA_ENABLED no call is placed meanwhile")),
        (true, false) => Finding::warning(CHECK, &format!("{words}; calls with `callMethod: kestra` are refused")),
        (false, _) => Finding::warning(CHECK, &words),
    };
    finding.advise(&advice)
}

#[cfg(test)]
mod tests {
    use super::{Flow, Input, judged};
    use crate::doctor::Severity;

    fn flow(inputs: &[(&str, &str, bool)], outputs: &[&str]) -> Flow {
        let input = |(id, kind, is_needed): &(&str, &str, bool)| Input { id: (*id).into(), kind: (*kind).into(), is_needed: *is_needed };
        Flow { starts: true, inputs: inputs.iter().map(input).collect(), outputs: outputs.iter().map(|id| (*id).into()).collect() }
    }

    /// What is said of the flow of the examples with one more input.
    fn with(id: &str, kind: &str, is_needed: bool, places: bool) -> (Severity, String) {
        let flow = flow(&[("placement_id", "STRING", true), ("call", "JSON", true), (id, kind, is_needed)], &["call_id"]);
        let mut found = judged(&flow, "n.f", places);
        assert_eq!(found.len(), 1, "{found:?}");
        let found = found.remove(0);
        assert_eq!(found.advice.is_some(), found.severity != Severity::Ok, "{found:?}");
        (found.severity, found.found)
    }

    #[test]
    fn what_it_is_started_with_fits_or_it_is_said_why_not() {
        for (id, kind, is_needed, severity, words) in [
            ("note", "STRING", false, Severity::Ok, "takes what it is started with"),
            ("urgency", "SELECT", false, Severity::Ok, "takes what it is started with"),
            ("location", "A_NEW_TYPE", false, Severity::Ok, "takes what it is started with"),
            (
                "note",
                "STRING",
                true,
                Severity::Error,
                "requires the input note, which it does not get; with KESTRA_ENABLED no call is placed",
            ),
            ("location", "STRING", true, Severity::Warning, "requires the input location, which is not known of every call"),
            ("location", "DATE", false, Severity::Error, "the input location of type DATE"),
            ("provider_name", "JSON", true, Severity::Error, "the input provider_name of type JSON"),
        ] {
            let (told, found) = with(id, kind, is_needed, true);
            assert!(told == severity && found.contains(words), "{id} {kind}: {told:?} {found}");
        }
        let (severity, found) = with("note", "STRING", true, false);
        assert!(severity == Severity::Warning && found.contains("calls with `callMethod: kestra` are refused"), "{found}");
    }

    #[test]
    fn a_flow_that_is_told_too_little_or_says_too_little_is_found() {
        let whole = flow(&[("call", "STRING", true)], &["call_id"]);
        assert_eq!(judged(&whole, "n.f", true)[0].severity, Severity::Ok);
        for (spoilt, severity, words) in [
            (Flow { starts: false, ..whole.clone() }, Severity::Error, "can't be started"),
            (Flow { outputs: vec!["id".to_owned()], ..whole.clone() }, Severity::Warning, "no output call_id"),
            (Flow { inputs: Vec::new(), ..whole.clone() }, Severity::Warning, "no input call"),
            (flow(&[("call", "FILE", true)], &["call_id"]), Severity::Error, "the input call of type FILE"),
            (flow(&[("call", "SELECT", true)], &["call_id"]), Severity::Error, "the input call of type SELECT"),
        ] {
            let found = judged(&spoilt, "n.f", true);
            assert!(found.len() == 1 && found[0].severity == severity && found[0].found.contains(words), "{found:?}");
        }
        assert_eq!(judged(&flow(&[("provider_phone", "STRING", false)], &["call_id"]), "n.f", true)[0].severity, Severity::Ok);
    }
}
