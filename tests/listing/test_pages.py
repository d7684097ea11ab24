"""What an answer to ListObjectsV2 means, by its bytes: a whole page, or words for why it is none."""

from __future__ import annotations

import pytest

from cryptolake.listing.pages import NO_LISTING, NoAnswer, Object, Page, read

SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
ITEM = (
    "<Contents><Key>{key}</Key><LastModified>2024-01-02T00:30:00.000Z</LastModified>"
    "<ETag>&quot;0cc1&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


def listing(inside: str, *, space: str = SPACE, truncated: str = "false") -> bytes:
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{space}">'
    if not space:
        head = "<ListBucketResult>"
    return f"{head}<IsTruncated>{truncated}</IsTruncated>{inside}</ListBucketResult>".encode()


def why(
    status: int, body: bytes, headers: dict[str, str] | None = None, *, anonymous: bool = True
) -> str:
    with pytest.raises(NoAnswer) as caught:
        read(status, headers or {}, body, anonymous=anonymous)
    return str(caught.value)


@pytest.mark.parametrize("space", [SPACE, ""])
def test_a_page_is_read_whether_or_not_its_elements_have_a_namespace(space: str):
    inside = ITEM.format(key="a/b.zip", size=7) + (
        "<CommonPrefixes><Prefix>a/c/</Prefix></CommonPrefixes>"
    )
    assert read(200, {}, listing(inside, space=space), anonymous=True) == Page(
        [Object("a/b.zip", 7, "0cc1", "2024-01-02T00:30:00.000Z")], ["a/c/"]
    )


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("", "龙虾 &amp; 100%+1/x.zip"),
        ("<EncodingType>url</EncodingType>", "%E9%BE%99%E8%99%BE+%26+100%25%2B1/x.zip"),
        ("<EncodingType>url</EncodingType>", "%E9%BE%99%E8%99%BE%20%26%20100%25%2B1%2Fx.zip"),
    ],
)
def test_names_are_the_buckets_own_however_they_were_written(encoding: str, written: str):
    inside = f"{encoding}{ITEM.format(key=written, size=1)}"
    inside += f"<CommonPrefixes><Prefix>{written}</Prefix></CommonPrefixes>"
    page = read(200, {}, listing(inside), anonymous=True)
    assert [page.objects[0].key, *page.folders] == ["龙虾 & 100%+1/x.zip"] * 2


def test_the_next_page_is_named_only_where_there_is_one():
    token = "<NextContinuationToken>1/+=</NextContinuationToken>"
    assert read(200, {}, listing(token, truncated="true"), anonymous=True).token == "1/+="
    assert read(200, {}, listing(token), anonymous=True).token is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Welcome",
        b'{"json": true}',
        b"<html><body>Hello</body></html>",
        b"<!DOCTYPE html><html><p>Log in<br></html>",
        b"<ListBucketResult></ListBucketResult>",
        b"<ListAllMyBucketsResult><IsTruncated>false</IsTruncated></ListAllMyBucketsResult>",
        listing("")[:-20],
        listing("", truncated="true"),
        listing(ITEM.format(key="a", size="many")),
        listing(ITEM.format(key="a", size="1").replace("<Size>1</Size>", "")),
        listing(ITEM.format(key="a", size="1").replace("ETag", "Tag")),
        listing("<CommonPrefixes></CommonPrefixes>"),
        b'<!DOCTYPE x [<!ENTITY y "y">]>' + listing("").partition(b"\n")[2],
    ],
)
def test_what_is_not_a_whole_listing_is_never_an_empty_one(body: bytes):
    assert why(200, body) == NO_LISTING


def test_what_s3_refuses_is_said_in_words():
    def error(code: str) -> bytes:
        return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>No.</Message></Error>".encode()

    assert why(404, error("NoSuchBucket")) == "it has no such bucket"
    assert "listed anonymously" in why(403, error("AccessDenied"))
    assert "these credentials" in why(403, error("InvalidAccessKeyId"), anonymous=False)
    assert "clock" in why(403, error("RequestTimeTooSkewed"), anonymous=False)
    assert "slow down" in why(503, error("SlowDown"))
    assert "slow down" in why(429, b"")
    assert "no S3 endpoint" in why(404, b"<html></html>")
    assert why(200, error("InternalError")) == "it answered 200 (InternalError: No.)"
    assert why(502, b"<html>Bad gateway</html>") == "it answered 502"


def test_a_redirect_says_where_to():
    elsewhere = {"x-amz-bucket-region": "eu-west-1"}
    assert "region 'eu-west-1'" in why(301, b"", elsewhere)
    assert "'http://portal/login'" in why(
        302, b"<html></html>", {"location": "http://portal/login"}
    )
