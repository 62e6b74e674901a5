"""A small double of NiFi's `nifiapi`, written from its Python developer's guide: what our processors use of it."""
