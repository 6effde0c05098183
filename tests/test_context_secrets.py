"""What looks like a secret, and what does not. The secrets here are made up, and put together so that scanners leave this file alone."""

from __future__ import annotations

import pytest

from cromwell.prepare.secrets import file_kind, secrets_in

R = "q7Rt5bF2cZl9mV0hYwq3NfJ8sKpUe1oRdLtA6iXyWvBnC4zEgHuMjOaPbQcSd"
BODY = R + R[::-1]


@pytest.mark.parametrize(("path", "text"), [
    ("k.py", f"-----BEGIN RSA PRIVATE {'KEY'}-----\n{BODY[:64]}\n{BODY[-60:]}\n-----END RSA PRIVATE KEY-----\n"),
    ("k.json", f'{{"private_key": "-----BEGIN PRIVATE {"KEY"}-----\\n{BODY[:64]}\\n{BODY[-60:]}\\n"}}'),
    ("a.py", "KEY = 'AK" + "IAQ7RT5BF2CZLNMVYH'"), ("a.py", f'aws_secret_access_key = "{R[:40]}"'),
    ("a.py", f'x = "gh{"p_"}{R[:36]}"'), ("a", f"github{'_pat_'}{R[:22]}_{R[:59]}"), ("a", f"gl{'pat-'}{R[:20]}"),
    ("a", f"xo{'xb-'}17653284-98347216-{R[:16]}"), ("a", f"https://hooks.slack{'.com'}/services/T7RT5BF2C/B9MV0HYWQ/{R[:24]}"),
    ("a", f"AI{'za'}{R[:35]}"), ("a", f"sk{'_live_'}{R[:24]}"), ("a", f"rk{'_test_'}{R[:24]}"), ("a", f"np{'m_'}{R[:36]}"),
    (".npmrc", f"//registry.npmjs.org/:_auth{'Token='}{R[:24]}"), ("a", f"py{'pi-'}AgEIcHlwaS5vcmc{R[:60]}"),
    ("a", f"ey{'J'}hbGciOiJIUzI1NiJ9.ey{'J'}zdWIiOiI3NjU0MzIxIn0.{R[:43]}"), ("a", f"S{'G.'}{R[:22]}.{R[:43]}"),
    ("a", f"sk-{'ant-'}api03-{R[:44]}"), ("a", f"sk-{'proj-'}{R[:44]}"), ("a", f"h{'f_'}{R[:34]}"),
    ("a.py", 'password = "xK9#mQ2$vL7"'), ("a.py", "DB_PASSWORD = 'tr0ub4dor&3x'"), ("a.js", f'const apiKey = "{R[:20]}";'),
    ("a.py", "SECRET_KEY = 'q7rt5bf2czl9mv0hywq3nfj8skpue1or'"), ("c.yaml", "password: q7Rt5bF2cZl9"), ("c.env", f"API_TOKEN={R[:20]}"),
    ("c.ini", "db_passwd = Wq3NfJ8sKp2"), ("a.py", 'url = "postgres://app:q7Rt5bF2cZl9@db.internal/prod"'),
    ("a.go", 'Token: "d8f7a6b5c4e3928170f6e5d4c3b2a190",'), ("A.java", 'String password = "Wq3NfJ8sKp2x";'),
    ("a.rb", "password => 'Wq3NfJ8sKp2x'"),
    ("a.py", f'client_secret: str = "{R[:24]}"'), ("a.tf", f'secret_key = "{R[:20]}"'),
])
def test_secrets(path, text):
    found = secrets_in(path, ("# first\n\n" + text).encode())
    assert len(found) >= 1 and found[0].first_line == 3
    assert not any(R[:8] in secret.kind for secret in found)


@pytest.mark.parametrize("text", [
    "password = 'secret'", "password = os.environ['DB_PASSWORD']", "token = 'access_token'", "PASSWORD = 'password123'",
    "api_key = 'your-api-key-here'", "api_key='<YOUR_KEY>'", "url = 'http://user:pass@host/'", "secret = get('my-secret-name')",
    "token = 'abcdefgh12345678'", "password: ${DB_PASSWORD}", "password: {{ vault_pw }}", "auth_token = 'xxxxxxxxxxxx'",
    "ssl_password: None",
    "key = b'-----BEGIN RSA PRIVATE KEY-----'", "password_hasher = 'django.contrib.auth.hashers.PBKDF2PasswordHasher'",
    "token_url = 'https://auth.example.com/oauth/token'", "AK" "IAIOSFODNN7EXAMPLE", "token_type = 'Bearer'", "next_token='NextToken'",
    "pwd = '/home/app/data2'", "credentials = 'user:password'", "tokens = 'INDENT DEDENT NEWLINE'",
    "url = f'https://{user}:{password}@{host}'",
    "TOKEN_SIZE = 'sixteen-bytes'", "secret = config.get('client.secret')", "password = 'a' * 20", "def token(self): return 'end_of_file'",
])
@pytest.mark.parametrize("path", ["a.py", "a.yaml"])
def test_no_secrets(path, text):
    assert secrets_in(path, text.encode()) == []


def test_a_key_of_several_lines_is_one():
    data = f"a = 1\n-----BEGIN PRIVATE {'KEY'}-----\n{BODY[:64]}\n{BODY[-60:]}\n-----END PRIVATE KEY-----\nb = 2\n".encode()
    assert [secret[:2] for secret in secrets_in("a.txt", data)] == [(2, 5)]


def test_file_names():
    secret = [".env", "a/.env.local", "prod.env", ".netrc", "id_rsa", "a/id_ed25519", "server.pem", "server.key", ".pgpass", "kubeconfig",
              ".npmrc", ".ssh/config", ".aws/credentials", "credentials.json",
              "secrets.yaml", "terraform.tfstate", ".kube/config", ".git-credentials"]
    plain = [".env.example", "id_rsa.pub", "secrets.py", "key.py", "environment.py", "tokens.py", "config", "ssh/config.py",
             "keys.json", "a.pub"]
    assert [name for name in secret if file_kind(name) is None] == []
    assert [name for name in plain if file_kind(name) is not None] == []


def test_long_lines_take_no_time():
    for data in (b"password" * 50_000, b"a" * 1_000_000, b"token:" + b" " * 500_000, b"x_" * 200_000 + b"secret='",
                 b"://" + b"a" * 1_000_000):
        assert secrets_in("a.yaml", data) == []
