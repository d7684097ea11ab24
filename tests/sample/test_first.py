def test_the_sample_is_served(archive, endpoint):
    assert archive.endpoint_url == endpoint
