//! The keys of `teal.yaml`: one table for each mapping, with type, meaning, default.
//!
//! Owns the description; the loader's checks for unknown and missing keys and its defaults, the reference in
//! docs/teal-yaml.md and the JSON Schema are all made from it, so they can't say different things. Owns no
//! checks across keys: those are the loader's.

/// A mapping of `teal.yaml`.
#[derive(Debug)]
pub struct Section {
    pub name: &'static str,
    pub doc: &'static str,
    pub keys: &'static [Key],
}

#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub doc: &'static str,
    pub required: bool,
    /// As one would write it. The loader reads this very text where the key is missing.
    pub default: Option<&'static str>,
}

/// What a key's value may be.
#[derive(Debug)]
pub enum Kind {
    Text,
    Name,
    Path,
    /// One path or a list of them.
    Paths,
    Each,
    /// One field's name or a list of them.
    FieldNames,
    Jq,
    Schedule,
    Secret,
    /// Any mapping of texts, each of which may be a secret.
    Values,
    TimeFormat,
    Boolean,
    Integer {
        min: u32,
    },
    Number,
    Duration,
    Size,
    Percent,
    Choice(&'static [&'static str]),
    /// One of the words, or a mapping that begins with one of them.
    ChoiceOr(&'static [&'static str], &'static Section),
    /// A text, number or boolean.
    Scalar,
    Scalars,
    /// Any mapping.
    Config,
    Section(&'static Section),
    List(&'static Section),
    /// A mapping from names to sections.
    Named(&'static Section),
    /// A mapping from field names to a section, or to a type alone.
    Fields(&'static Section),
    /// A mapping from field names to entities.
    Relations,
    /// A mapping from texts to scalars.
    Lookup,
}

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, doc, required: false, default: None }
}

impl Key {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }
}

impl Section {
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

pub const FIELD_TYPES: &[&str] = &["integer", "number", "string", "boolean", "date", "timestamp", "json"];
pub const VERIFICATIONS: &[&str] = teal_gate::preset::NAMES;

pub static SYSTEM: Section = Section {
    name: "system",
    doc: "The whole file.",
    keys: &[
        key("system", Kind::Name, "Name of the system.").required(),
        key("sources", Kind::Named(&SOURCE), "Where data comes from, by name.").required(),
        key("entities", Kind::Named(&ENTITY), "What readers see, by name.").required(),
        key("versions", Kind::Section(&VERSIONS), "How many versions are kept."),
        key("guard", Kind::Section(&GUARD), "When a new version is too different to become visible by itself."),
        key("webhooks", Kind::Section(&WEBHOOKS), "What holds for all webhooks together."),
        key(
            "backups",
            Kind::Section(&BACKUPS),
            "When backups are made, and where they are kept. Without it, on demand only.",
        ),
    ],
};

pub static SOURCE: Section = Section {
    name: "source",
    doc: "Where data comes from: a connector with its configuration, and when and how fast it is asked.",
    keys: &[
        key("connector", Kind::Text, "File of the connector manifest, relative to teal.yaml.").required(),
        key("config", Kind::Config, "What the connector's manifest asks for. A member may be `${secret:name}`."),
        key("schedule", Kind::Section(&SCHEDULE), "When the source is asked. Without it, on demand only."),
        key("webhook", Kind::Section(&WEBHOOK), "What the source may send by itself."),
        key("limits", Kind::Section(&LIMITS), "How fast and how patiently the source is asked."),
    ],
};

pub static SCHEDULE: Section = Section {
    name: "schedule",
    doc: "When a source is asked, in EventBridge's syntax: `rate(1 hour)` or `cron(0 3 * * ? *)`. \
          A local time that the clock jumps over is skipped; one that comes twice is used once.",
    keys: &[
        key("full", Kind::Schedule, "Complete listings, each building a new version."),
        key("incremental", Kind::Schedule, "What changed since the last time, into the active version."),
        key("zone", Kind::Text, "IANA time zone of cron expressions.").default("UTC"),
    ],
};

pub static WEBHOOK: Section = Section {
    name: "webhook",
    doc: "What the source may send to `POST /hooks/{path}`, and what is done with it.",
    keys: &[
        key("path", Kind::Text, "Last part of the address: letters, digits, `-`, `_`. Default: the source's name."),
        key(
            "verify",
            Kind::ChoiceOr(VERIFICATIONS, &VERIFY),
            "How a request proves where it comes from: the sender's name, or a mapping that changes what it asks for.",
        )
        .required(),
        key(
            "header",
            Kind::Text,
            "Header that holds the secret or the signature, where it is not the sender's usual one.",
        ),
        key(
            "secret",
            Kind::Secret,
            "The secret, as `${secret:name}`. Required but for `sns`, unless `secrets` is given.",
        ),
        key("secrets", Kind::List(&SECRET_OF), "Several secrets, any of which proves, while they are changed."),
        key("url", Kind::Text, "The address that the sender was given, query and all. `mandrill` signs it."),
        key("topics", Kind::Scalars, "For `websub` and `sns`: addresses or ARNs of the topics that are this source's."),
        key(
            "id",
            Kind::Section(&DELIVERY_ID),
            "Where the sender names a delivery. Without it each request is its own.",
        ),
        key("stated", Kind::Section(&STATED), "Where a delivery says when it was sent. Upserts and deletes need it."),
        key("max_body", Kind::Size, "Largest request.").default("1 MB"),
        key(
            "per_second",
            Kind::Number,
            "Requests a second that are looked at; more are answered 429. Default: no limit.",
        ),
        key("dedupe", Kind::Section(&DEDUPE), "Which requests are one delivery. Instead of `id`."),
        key("split", Kind::Path, "Path to a list in the body: each of its events becomes a delivery of its own."),
        key("mask", Kind::Paths, "Paths in the body to what is hidden before it is stored; `[]` is every element."),
        key("lease", Kind::Section(&LEASE), "How the subscription is kept alive, if it ends by itself."),
        key("gaps", Kind::Section(&GAPS), "How deliveries are found that never came."),
        key("silence", Kind::Number, "The source is called silent after so many times its usual gap."),
        key("on", Kind::List(&RULE), "What is done; every rule that applies is followed, in order.").required(),
    ],
};

pub static VERIFY: Section = Section {
    name: "verify",
    doc: "A sender that is known by name, with members of what it asks for changed; `hmac` is one that asks for nothing \
          in particular.",
    keys: &[
        key("preset", Kind::Choice(VERIFICATIONS), "The sender that the rest is compared with.").required(),
        key("algorithm", Kind::Choice(&["sha256", "sha1", "sha384", "sha512", "ed25519"]), "The one that is accepted."),
        key("header", Kind::Text, "Header that holds the signature or the secret."),
        key("also", Kind::Scalars, "More headers that may hold a signature."),
        key("prefix", Kind::Text, "What stands before a signature or a secret: `sha256=`, `v1,`, `Bearer `."),
        key("separator", Kind::Text, "Character between several signatures in one header."),
        key("encoding", Kind::Choice(&["hex", "base64", "base64url"]), "How a signature is written."),
        key(
            "message",
            Kind::Text,
            "What is signed, of `{body}`, `{timestamp}`, `{id}`, `{url}`, `{sorted_form}` and any text between.",
        ),
        key("timestamp", Kind::Section(&TIMESTAMP), "Where the signed time is, and how old it may be."),
        key("id", Kind::Text, "Header of the signed `{id}`."),
        key("key", Kind::Choice(&["utf8", "base64", "hex", "standard"]), "How the secret is written."),
        key("parameter", Kind::Text, "For `url-secret` and `mailchimp`: parameter of the address that is the secret."),
        key("handshake", Kind::Scalars, "What is answered besides: `get`, `head`, `challenge`, `hook-secret`."),
        key("echo", Kind::Text, "Parameter of a GET that is sent back, such as `hub.challenge`."),
        key("token", Kind::Text, "For `echo`: parameter that must be the secret."),
        key("accepted", Kind::Integer { min: 200 }, "Status of what was stored: 200 to 204."),
        key(
            "refused",
            Kind::Choice(&["400", "401", "403", "404", "drop"]),
            "Status of what was not; `drop` answers as if it were.",
        ),
    ],
};

pub static TIMESTAMP: Section = Section {
    name: "timestamp",
    doc: "Where the signed time of a request is.",
    keys: &[
        key("header", Kind::Text, "Header that holds it. Either this or `entry`."),
        key("entry", Kind::Text, "Prefix of the entry in the signature's header that holds it, such as `t=`."),
        key("unit", Kind::Choice(&["s", "ms", "rfc3339"]), "How it is written.").default("s"),
        key("tolerance", Kind::Duration, "How far from now it may be, to either side.").default("5m"),
    ],
};

pub static SECRET_OF: Section = Section {
    name: "secrets",
    doc: "A secret, and when it is valid.",
    keys: &[
        key("secret", Kind::Secret, "The secret, as `${secret:name}`.").required(),
        key("from", Kind::Text, "Not before this time, such as `2027-01-01T00:00:00Z`."),
        key("until", Kind::Text, "Not after this time."),
    ],
};

pub static DELIVERY_ID: Section = Section {
    name: "id",
    doc: "Where the sender names a delivery.",
    keys: &[key("header", Kind::Text, "Header that holds the delivery's name.").required()],
};

pub static DEDUPE: Section = Section {
    name: "dedupe",
    doc: "Which requests are one delivery: a repetition of one that is done with is thanked for, counted and left alone.",
    keys: &[
        key("by", Kind::List(&PLACE), "Where the sender names a delivery; the first place that has something counts.")
            .required(),
        key("keep", Kind::Duration, "How long deliveries are remembered. Longer than the sender repeats one.")
            .default("7d"),
    ],
};

pub static PLACE: Section = Section {
    name: "by",
    doc: "One place in which a sender may name a delivery.",
    keys: &[
        key("header", Kind::Text, "A header."),
        key("path", Kind::Path, "A path in the body, or in the event where `split` is given."),
        key("hash", Kind::Choice(&["body"]), "The whole body: equal bytes are one delivery."),
    ],
};

pub static STATED: Section = Section {
    name: "stated",
    doc: "Where a delivery says when it was sent: in a header or in its body.",
    keys: &[
        key("header", Kind::Text, "Header that holds the time. Either this or `path`."),
        key("path", Kind::Path, "Path in the body to the time. Either this or `header`."),
        key("format", Kind::TimeFormat, "How the time is written.").default("rfc3339"),
    ],
};

pub static RULE: Section = Section {
    name: "on",
    doc: "One rule of a webhook.",
    keys: &[
        key("when", Kind::Jq, "jq program over the body; the rule applies when it gives true. Default: always."),
        key("do", Kind::Choice(&["sync", "upsert", "delete", "fetch", "page"]), "What is done.").required(),
        key("mode", Kind::Choice(&["full", "incremental"]), "For `sync`: what is fetched.").default("incremental"),
        key("stream", Kind::Text, "For `upsert`, `delete` and `fetch`: whose record the body is about."),
        key(
            "record",
            Kind::Path,
            "For `upsert`: path in the body to the record or records. For `fetch`: in the answer.",
        ),
        key(
            "key",
            Kind::Path,
            "For `delete`: path in the body to the key of the record that is gone. For `fetch`: of one that may be.",
        ),
        key("order", Kind::Section(&ORDER), "For `delete`: where the body says how new the delete is."),
        key("request", Kind::Section(&REQUEST), "For `fetch` and `page`: what is asked for."),
        key("next", Kind::Jq, "For `page`: jq program from an answer to `{cursor, more}`."),
        key("wait", Kind::Duration, "For `fetch` and `page`: how long more of the same is waited for.").default("2s"),
    ],
};

pub static REQUEST: Section = Section {
    name: "request",
    doc: "A request to the source's API. Programs choose path and body, never the host.",
    keys: &[
        key("method", Kind::Choice(&["GET", "POST", "PUT", "PATCH", "DELETE"]), "How.").default("GET"),
        key("base", Kind::Text, "`https://host`, maybe with the beginning of a path. Taken as it is written.")
            .required(),
        key("path", Kind::Jq, "jq program that gives what follows, from `/` on.").required(),
        key("body", Kind::Jq, "jq program that gives the body."),
        key("as", Kind::Choice(&["json", "form"]), "How the body is written.").default("json"),
        key("bearer", Kind::Secret, "For `Authorization: Bearer …`."),
        key("headers", Kind::Values, "Other headers. A value may be `${secret:name}`."),
    ],
};

pub static LEASE: Section = Section {
    name: "lease",
    doc: "How a subscription is kept alive that ends by itself. Programs see `{id, address, life, now, until, with, \
          secret, channel}`; `life` is in seconds, `now` and `until` in milliseconds.",
    keys: &[
        key(
            "preset",
            Kind::Choice(LEASES),
            "Requests and answers of a known sender; what is written here comes first.",
        ),
        key("address", Kind::Text, "Where the sender reaches this webhook: `https://…/hooks/…`.").required(),
        key("with", Kind::Config, "What the preset or the programs ask for, as `.with`."),
        key("secrets", Kind::Values, "What they see as `.secret`: `${secret:name}` each."),
        key("bearer", Kind::Secret, "For `Authorization: Bearer …` of the preset's requests."),
        key("base", Kind::Text, "In place of the preset's own."),
        key("create", Kind::Section(&REQUEST), "Asks for a subscription."),
        key("refresh", Kind::Section(&REQUEST), "Prolongs one. Without it a new one takes its place."),
        key("stop", Kind::Section(&REQUEST), "Ends one."),
        key("read", Kind::Jq, "From an answer to `{until, id, resource}`: what the sender says about them."),
        key("confirm", Kind::Boolean, "The sender asks back, and only then it is valid.").default("false"),
        key("life", Kind::Duration, "How long a subscription lives that says nothing else. Renewed at half of it.")
            .default("7d"),
        key("cover", Kind::Duration, "How often the source is polled while there is none; at least 12m.")
            .default("15m"),
    ],
};

/// Subscriptions whose requests are known.
pub const LEASES: &[&str] = &["airtable", "google-calendar", "websub"];

pub static GAPS: Section = Section {
    name: "gaps",
    doc: "How deliveries are found that never came: `event`, or `list` with all that goes with it, or a preset.",
    keys: &[
        key("every", Kind::Duration, "How often it is looked for them.").default("6h"),
        key("preset", Kind::Choice(&["github"]), "A sender that lists what it sent."),
        key("with", Kind::Config, "What the preset asks for."),
        key("bearer", Kind::Secret, "For `Authorization: Bearer …` of the preset's requests."),
        key("base", Kind::Text, "In place of the preset's own."),
        key("event", Kind::Config, "Follow the rules that fetch or page as if this had come."),
        key("list", Kind::Section(&REQUEST), "Lists what was sent. Programs see `{cursor, with}`."),
        key("missed", Kind::Jq, "From its answer to `{missed: [{id}], cursor}`; `id` as in `dedupe`."),
        key("get", Kind::Section(&REQUEST), "Gets one of them. Programs see it, with `with`."),
        key("delivery", Kind::Jq, "From that answer to `{headers, body}`."),
    ],
};

pub static ORDER: Section = Section {
    name: "order",
    doc: "Where the provider states which of two states of a record is newer.",
    keys: &[
        key("path", Kind::Path, "Path to the sequence number or time.").required(),
        key("type", Kind::Choice(&["sequence", "timestamp"]), "A number that only grows, or a time.").required(),
        key("format", Kind::TimeFormat, "For `timestamp`: how it is written.").default("rfc3339"),
    ],
};

pub static LIMITS: Section = Section {
    name: "limits",
    doc: "How fast and how patiently a source is asked.",
    keys: &[
        key("per_second", Kind::Number, "Requests a second, over everything that runs at once. Default: no limit."),
        key(
            "concurrency",
            Kind::Integer { min: 1 },
            "Streams that are read at the same time, at most. Default: what the connector says.",
        ),
        key("attempts", Kind::Integer { min: 1 }, "Attempts for each request, the first included.").default("3"),
        key("timeout", Kind::Duration, "Longest time for one request.").default("30s"),
        key("max_wait", Kind::Duration, "Longest time that a run waits for a quota.").default("24h"),
        key("max_body", Kind::Size, "Largest answer.").default("16 MB"),
        key(
            "conditional",
            Kind::Boolean,
            "Pages are asked for only if they changed, by the ETag or time that the source gave with them.",
        )
        .default("false"),
    ],
};

pub static ENTITY: Section = Section {
    name: "entity",
    doc: "What readers see: rows with a key and typed fields, made from the records of one stream.",
    keys: &[
        key("from", Kind::Text, "Source and stream, as `source.stream`.").required(),
        key("record", Kind::Paths, "Path, or paths, of the record's own key in the record.").default("id"),
        key(
            "each",
            Kind::Each,
            "Where the items are that make a row each: `portfolios[]`. Default: the record itself.",
        ),
        key("key", Kind::FieldNames, "Field, or fields, that identify a row. Required without `junction`."),
        key("junction", Kind::Relations, "For rows that connect entities: their fields and the entity each leads to."),
        key("order", Kind::Section(&ORDER), "Where the record says how new it is."),
        key("only", Kind::Jq, "jq program over an item; items for which it is not true make no row."),
        key("map", Kind::Jq, "jq program from an item to the object, or objects, that fields are read from."),
        key("fields", Kind::Fields(&FIELD), "What a row consists of.").required(),
        key("relations", Kind::Relations, "Fields that hold the key of a row in another entity."),
        key("guard", Kind::Section(&GUARD), "What differs from the system's guard."),
    ],
};

pub static FIELD: Section = Section {
    name: "field",
    doc: "One field of a row. `name: string` is short for `name: { type: string }`.",
    keys: &[
        key("type", Kind::Choice(FIELD_TYPES), "Type of the value. Required, but for the fields of a `junction`."),
        key("path", Kind::Path, "Where the value is. Default: the member with the field's name."),
        key("position", Kind::Boolean, "The value is the item's position among its siblings, from 0.").default("false"),
        key("required", Kind::Boolean, "A row without the value is rejected.").default("false"),
        key("index", Kind::Boolean, "Readers may filter by it.").default("false"),
        key("default", Kind::Scalar, "Used where there is no value or null."),
        key("lookup", Kind::Lookup, "Replaces values, before they are converted."),
        key("otherwise", Kind::Scalar, "For values that `lookup` lacks: `reject`, `keep`, or a value.")
            .default("reject"),
        key("format", Kind::TimeFormat, "For `date` and `timestamp`: how the source writes it."),
        key("min_length", Kind::Integer { min: 0 }, "For `string`: fewest characters."),
        key("max_length", Kind::Integer { min: 0 }, "For `string`: most characters."),
        key("min", Kind::Number, "For `integer` and `number`: the least value."),
        key("max", Kind::Number, "For `integer` and `number`: the greatest value."),
        key("one_of", Kind::Scalars, "The only values that are right."),
    ],
};

pub static VERSIONS: Section = Section {
    name: "versions",
    doc: "How many versions are kept.",
    keys: &[
        key("keep", Kind::Integer { min: 2 }, "Versions that can be read, the active one included. A full run that found just what the active one has counts as one.").default("2"),
        key("raw", Kind::Integer { min: 1 }, "Versions whose raw answers are kept, to rebuild them.").default("3"),
        key("grace", Kind::Duration, "How long a version stays for listings that began in it.").default("10m"),
    ],
};

pub static GUARD: Section = Section {
    name: "guard",
    doc: "When a new version is too different from the active one to become visible by itself.",
    keys: &[
        key("max_shrink", Kind::Percent, "Largest part of the rows that may be gone.").default("20%"),
        key("max_rejected", Kind::Percent, "Largest part of the rows that may be rejected.").default("20%"),
        key("relations", Kind::Choice(&["report", "block"]), "What rows whose relations lead nowhere do.")
            .default("report"),
    ],
};

pub static WEBHOOKS: Section = Section {
    name: "webhooks",
    doc: "What holds for all webhooks together.",
    keys: &[key(
        "per_second",
        Kind::Number,
        "Requests a second that are looked at, in each process; more are answered 429. Default: no limit.",
    )],
};

pub static BACKUPS: Section = Section {
    name: "backups",
    doc: "When backups are made, how long and where they are kept.",
    keys: &[
        key("full", Kind::Schedule, "Everything that a restore needs, each time."),
        key("increment", Kind::Schedule, "What changed since the backup before; full where that can't be told."),
        key("zone", Kind::Text, "IANA time zone of cron expressions.").default("UTC"),
        key("keep", Kind::Duration, "How long backups are kept. The newest full one and what follows it always is.")
            .default("30d"),
        key("second", Kind::Text, "Where each is copied to: a folder; on AWS a bucket, or region/bucket."),
    ],
};

/// Every section once, from the file's top down.
pub static SECTIONS: &[&Section] = &[
    &SYSTEM,
    &SOURCE,
    &SCHEDULE,
    &WEBHOOK,
    &VERIFY,
    &TIMESTAMP,
    &SECRET_OF,
    &DELIVERY_ID,
    &DEDUPE,
    &PLACE,
    &STATED,
    &RULE,
    &ORDER,
    &REQUEST,
    &LEASE,
    &GAPS,
    &LIMITS,
    &ENTITY,
    &FIELD,
    &VERSIONS,
    &GUARD,
    &WEBHOOKS,
    &BACKUPS,
];
