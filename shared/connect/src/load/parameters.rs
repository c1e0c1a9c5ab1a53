//! `$parameters` handed down, and types that need not be written.

use crate::value::{Map, Value};

use crate::python::is_truthy;

/// What a member holds when it does not say.
const DEFAULT_TYPES: [(&str, &str); 37] = [
    ("CompositeErrorHandler.error_handlers", "DefaultErrorHandler"),
    ("CursorPagination.decoder", "JsonDecoder"),
    ("DatetimeBasedCursor.end_datetime", "MinMaxDatetime"),
    ("DatetimeBasedCursor.end_time_option", "RequestOption"),
    ("DatetimeBasedCursor.start_datetime", "MinMaxDatetime"),
    ("DatetimeBasedCursor.start_time_option", "RequestOption"),
    ("DeclarativeSource.check", "CheckStream"),
    ("DeclarativeSource.spec", "Spec"),
    ("DeclarativeSource.streams", "DeclarativeStream"),
    ("DeclarativeStream.retriever", "SimpleRetriever"),
    ("DeclarativeStream.schema_loader", "JsonFileSchemaLoader"),
    ("DynamicDeclarativeStream.stream_template", "DeclarativeStream"),
    ("DynamicDeclarativeStream.components_resolver", "ConfigComponentsResolver"),
    ("HttpComponentsResolver.retriever", "SimpleRetriever"),
    ("HttpComponentsResolver.components_mapping", "ComponentMappingDefinition"),
    ("ConfigComponentsResolver.stream_config", "StreamConfig"),
    ("ConfigComponentsResolver.components_mapping", "ComponentMappingDefinition"),
    ("DefaultErrorHandler.response_filters", "HttpResponseFilter"),
    ("DefaultPaginator.decoder", "JsonDecoder"),
    ("DefaultPaginator.page_size_option", "RequestOption"),
    ("DpathExtractor.decoder", "JsonDecoder"),
    ("DpathExtractor.record_expander", "RecordExpander"),
    ("HttpRequester.error_handler", "DefaultErrorHandler"),
    ("ListPartitionRouter.request_option", "RequestOption"),
    ("ParentStreamConfig.request_option", "RequestOption"),
    ("ParentStreamConfig.stream", "DeclarativeStream"),
    ("RecordExpander.parent_fields", "ParentFieldPath"),
    ("RecordSelector.extractor", "DpathExtractor"),
    ("RecordSelector.record_filter", "RecordFilter"),
    ("SimpleRetriever.paginator", "NoPagination"),
    ("SimpleRetriever.record_selector", "RecordSelector"),
    ("SimpleRetriever.requester", "HttpRequester"),
    ("SubstreamPartitionRouter.parent_stream_configs", "ParentStreamConfig"),
    ("AddFields.fields", "AddedFieldDefinition"),
    ("CustomPartitionRouter.parent_stream_configs", "ParentStreamConfig"),
    ("DynamicSchemaLoader.retriever", "SimpleRetriever"),
    ("SchemaTypeIdentifier.types_map", "TypesMap"),
];

/// The same, for members that name a class.
const CUSTOM_TYPES: [(&str, &str); 9] = [
    ("CompositeErrorHandler.backoff_strategies", "CustomBackoffStrategy"),
    ("DeclarativeStream.retriever", "CustomRetriever"),
    ("DeclarativeStream.transformations", "CustomTransformation"),
    ("DefaultErrorHandler.backoff_strategies", "CustomBackoffStrategy"),
    ("DefaultPaginator.pagination_strategy", "CustomPaginationStrategy"),
    ("HttpRequester.authenticator", "CustomAuthenticator"),
    ("HttpRequester.error_handler", "CustomErrorHandler"),
    ("RecordSelector.extractor", "CustomRecordExtractor"),
    ("SimpleRetriever.partition_router", "CustomPartitionRouter"),
];

pub fn propagate(place: &str, value: Value, inherited: &Map, inner_win: bool) -> Value {
    let Value::Object(mut own) = value else { return value };
    if !own.contains_key("type") {
        let types: &[(&str, &str)] = if own.contains_key("class_name") { &CUSTOM_TYPES } else { &DEFAULT_TYPES };
        if let Some((_, found)) = types.iter().find(|(known, _)| *known == place) {
            own.insert("type".to_owned(), (*found).into());
        }
    }
    let given = match own.remove("$parameters") {
        Some(Value::Object(given)) => given,
        _ => Map::new(),
    };
    let (mut parameters, winning) = if inner_win { (inherited.clone(), given) } else { (given, inherited.clone()) };
    parameters.extend(winning);
    match own.get("type") {
        Some(Value::String(kind)) if kind != "object" => {
            let kind = kind.clone();
            component(&kind, own, parameters, inner_win)
        }
        Some(Value::String(_) | Value::Array(_) | Value::Object(_)) => own.into(),
        _ => {
            // Not a component: those below it are reached when they say their type.
            if own.values().any(has_type) {
                own = own
                    .into_iter()
                    .map(|(name, value)| match has_type(&value) {
                        true => (name, propagate(place, value, &parameters, inner_win)),
                        false => (name, value),
                    })
                    .collect();
            }
            own.into()
        }
    }
}

fn has_type(value: &Value) -> bool {
    value.get("type").is_some_and(is_truthy)
}

fn component(kind: &str, mut own: Map, mut parameters: Map, inner_win: bool) -> Value {
    for (name, value) in &parameters {
        match own.get_mut(name) {
            Some(there) if is_truthy(there) => {}
            Some(there) => *there = value.clone(),
            None => {
                own.insert(name.clone(), value.clone());
            }
        }
    }
    for (name, value) in &mut own {
        if !value.is_object() && !value.is_array() {
            continue;
        }
        let excluded = parameters.remove(name);
        let place = format!("{kind}.{name}");
        match value {
            Value::Array(items) => {
                for item in items.iter_mut().filter(|item| item.is_object()) {
                    *item = propagate(&place, item.take(), &parameters, inner_win);
                }
            }
            other => *other = propagate(&place, other.take(), &parameters, inner_win),
        }
        if let Some(excluded) = excluded.filter(is_truthy) {
            parameters.insert(name.clone(), excluded);
        }
    }
    if !parameters.is_empty() {
        own.insert("$parameters".to_owned(), parameters.into());
    }
    own.into()
}
