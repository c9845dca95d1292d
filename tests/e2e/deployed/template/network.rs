//! Where things are: networks, encrypted lines, and the console.

use serde_json::json;

use super::evaluate::{Stack, of_type, template};

/// Functions are in a VPC if subnets and security groups say so, and only then may they make network interfaces.
#[test]
fn functions_are_in_the_vpc_that_is_wanted() {
    let wanted = [
        ("SubnetIds", "subnet-1,subnet-2"),
        ("SecurityGroupIds", "sg-1"),
    ];
    let inside = Stack::new("shop", &wanted);
    let network = inside.at("/Globals/Function/VpcConfig");
    assert_eq!(network["SubnetIds"], json!(["subnet-1", "subnet-2"]));
    assert_eq!(network["SecurityGroupIds"], json!(["sg-1"]));
    let outside = Stack::new("shop", &[]);
    assert_eq!(outside.at("/Globals/Function").get("VpcConfig"), None);
    for function in of_type(&template(), "AWS::Serverless::Function").keys() {
        let policies = format!("/Resources/{function}Role/Properties/Policies");
        let may = "ec2:CreateNetworkInterface";
        assert!(inside.at(&policies).to_string().contains(may));
        assert!(!outside.at(&policies).to_string().contains(may));
    }
}

/// Whoever publishes or reads messages does so over TLS.
#[test]
fn messages_travel_encrypted() {
    let template = template();
    for (policy, actions) in [
        ("AlarmTopicPolicy", "sns:Publish"),
        ("UndeliveredQueuePolicy", "sqs:*"),
        ("GuardDeadLettersPolicy", "sqs:*"),
    ] {
        let statements = &template["Resources"][policy]["Properties"]["PolicyDocument"];
        let statements = statements["Statement"].as_array().expect("statements");
        let mut refused = statements.iter().filter(|s| s["Effect"] == "Deny");
        let refused = refused.next().expect("a refusal");
        assert_eq!(refused["Action"], actions);
        assert_eq!(refused["Principal"], "*");
        let plain = json!({"Bool": {"aws:SecureTransport": "false"}});
        assert_eq!(refused["Condition"], plain);
    }
}

/// The console of each partition has a host of its own (AWS General Reference; service endpoints of the partitions).
#[test]
fn the_dashboard_is_found_in_every_partition() {
    for (partition, region, host) in [
        ("aws", "eu-west-1", "eu-west-1.console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
        (
            "aws-us-gov",
            "us-gov-west-1",
            "us-gov-west-1.console.amazonaws-us-gov.com",
        ),
        (
            "aws-eusc",
            "eusc-de-east-1",
            "eusc-de-east-1.console.amazonaws-eusc.eu",
        ),
    ] {
        let stack = Stack::new("shop", &[])
            .with("AWS::Partition", partition)
            .with("AWS::Region", region);
        let url = stack.at("/Outputs/DashboardUrl/Value");
        let expected =
            format!("https://{host}/cloudwatch/home?region={region}#dashboards:name=Dashboard");
        assert_eq!(url, expected, "{partition}");
    }
}
