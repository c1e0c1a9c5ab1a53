//! The connectors that ship, each against the stand-in for its API.

mod airtable;
mod apify;
mod generic;
mod github;
mod google_calendar;
mod mailchimp;
mod notion;
mod schema;
mod tried;
mod youtube;
