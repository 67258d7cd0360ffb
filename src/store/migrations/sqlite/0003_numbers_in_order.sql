-- The calls of a number in order, so that a page of them reads no more than the page.
DROP INDEX calls_by_customer;
DROP INDEX calls_by_provider;
CREATE INDEX calls_by_customer ON calls (customer_digits, created_at, id) WHERE customer_digits IS NOT NULL;
CREATE INDEX calls_by_provider ON calls (provider_digits, created_at, id) WHERE provider_digits IS NOT NULL;
