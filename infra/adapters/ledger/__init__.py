"""The cost ledger in the bucket: what runs spend, checked against the caps on all hosts."""

from infra.adapters.ledger.gpu import record_gpu as record_gpu
from infra.adapters.ledger.ledger import BucketLedger as BucketLedger
from infra.adapters.ledger.ledger import check_currency_of_month as check_currency_of_month
from infra.adapters.ledger.ledger import open_ledger as open_ledger
from infra.adapters.ledger.log import LedgerLog as LedgerLog
from infra.adapters.ledger.rates import caps_of as caps_of
from infra.adapters.ledger.rates import rates_of as rates_of
