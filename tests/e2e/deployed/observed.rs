//! What somebody sees of a run who has nothing but AWS: logs, metrics, dashboard, alarms and messages of the stack that
//! `sam deploy` puts into the stand-in for AWS. It evaluates no metric, so alarms are held against what the functions report
//! and are not seen to go off; and it knows no saved queries, so those are read from the template.

mod alarms;
mod events;
mod logs;
mod messages;
mod queries;
mod scheduled;
