"""With which credentials programs are started."""

import os
import unittest
from types import SimpleNamespace
from unittest import mock

from acceptance import cloud
from acceptance.guard import STAND_IN_ACCOUNT, Place

HERE = {"AWS_PROFILE": "another", "AWS_ACCESS_KEY_ID": "other", "AWS_REGION": "mars-1", "AWS_ENDPOINT_URL": "http://elsewhere"}


class Environment(unittest.TestCase):
    def of(self, place, **credentials):
        frozen = SimpleNamespace(**credentials)
        found = SimpleNamespace(get_credentials=lambda: SimpleNamespace(get_frozen_credentials=lambda: frozen))
        with mock.patch.object(cloud, "session", lambda *_: found), mock.patch.dict(os.environ, HERE | {"PATH": "/bin"}, clear=True):
            return cloud.Cloud(place, "run", meter=None).environment()

    def test_programs_have_the_credentials_that_the_account_was_asked_for(self):
        told = self.of(Place("123456789012", "eu-west-1", None), access_key="key", secret_key="secret", token="token")
        of_aws = {name: value for name, value in told.items() if name.startswith("AWS_")}
        wanted = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}
        self.assertEqual(of_aws, wanted | {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"})
        self.assertEqual(told["PATH"], "/bin")

    def test_a_stand_in_is_reached_at_its_endpoint(self):
        place = Place(STAND_IN_ACCOUNT, "us-east-1", "http://127.0.0.1:1")
        told = self.of(place, access_key="test", secret_key="test", token=None)
        self.assertEqual(told["AWS_ENDPOINT_URL"], "http://127.0.0.1:1")
        self.assertNotIn("AWS_SESSION_TOKEN", told)
        self.assertNotIn("AWS_PROFILE", told)


if __name__ == "__main__":
    unittest.main()
