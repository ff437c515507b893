"""What the tests share: servers, waiting, fakes."""
