"""Every code of a problem response, for the OpenAPI document and for the page of error codes."""

from typing import NamedTuple


class ErrorCode(NamedTuple):
    """One code: the HTTP statuses that it comes with, what it means, and what helps."""

    statuses: tuple[int, ...]
    meaning: str
    remedy: str


ERROR_CODES: dict[str, ErrorCode] = {
    "no_json": ErrorCode((400,), "The body of a webhook is no JSON.", "Send JSON."),
    "disconnected": ErrorCode(
        (400,), "The client hung up before its request had arrived.", "Send it again."
    ),
    "unauthorised": ErrorCode(
        (401,),
        "The request has no API key, or one that is not known here.",
        "Send `Authorization: Bearer …`; the operator makes a key with `reelwright keys add`.",
    ),
    "unsigned": ErrorCode(
        (401,),
        "The signature of a webhook is missing or wrong, or its time is too far from now.",
        "Sign with the secret of this source, and check the sender's clock.",
    ),
    "replayed": ErrorCode(
        (401,), "This delivery of a webhook came before.", "Nothing: its run exists."
    ),
    "forbidden": ErrorCode(
        (403,), "The key lacks the scope that this address needs.", "Take a key with that scope."
    ),
    "not_found": ErrorCode(
        (404,), "There is none, or it belongs to another key.", "Check the address and the key."
    ),
    "not_ready": ErrorCode(
        (404,), "The video of this job is not published yet.", "Ask for the job's state first."
    ),
    "method_not_allowed": ErrorCode(
        (405,), "The address does not know this method.", "See the REST reference."
    ),
    "too_slow": ErrorCode(
        (408,), "Head or body of the request did not arrive in time.", "Send it again, faster."
    ),
    "model_not_installed": ErrorCode(
        (409,),
        "The model that the request needs is not on this host.",
        "Run the `reelwright models download …` that the message names, or take another model.",
    ),
    "no_translator": ErrorCode(
        (409,),
        "The brief is in a language that nobody here can translate; nothing was started.",
        "Install the translator that the message names, write in English, or send "
        '`"language": "as-written"` to use the words as they are.',
    ),
    "above_cap": ErrorCode(
        (409,),
        "What it would cost is above a cap.",
        "Take a cheaper preset or a shorter video, or raise the cap.",
    ),
    "key_reused": ErrorCode(
        (409,),
        "This `Idempotency-Key` belongs to another request.",
        "Take a new key for a new request.",
    ),
    "not_waiting": ErrorCode((409,), "The run does not wait for an answer.", "Look at its state."),
    "in_use": ErrorCode(
        (409,),
        "A run of somebody else needs the video that is to be deleted for ever.",
        "Delete it so that it can be taken back (`POST /videos/{cid}/trash`), or try again when "
        "that run has ended.",
    ),
    "ended": ErrorCode((409,), "The run has ended; it cannot be cancelled.", "Nothing."),
    "too_many_failures": ErrorCode(
        (409,),
        "The same request has failed too often.",
        "Mend the cause that the message names, then send it with a new `Idempotency-Key`.",
    ),
    "name_taken": ErrorCode(
        (409,), "Ratings under this name came from another key.", "Rate under another name."
    ),
    "too_large": ErrorCode(
        (413,), "The body is larger than the address accepts.", "Make it smaller."
    ),
    "range": ErrorCode(
        (416,), "The range lies outside of the file.", "Ask for bytes within its size."
    ),
    "invalid": ErrorCode(
        (422,), "A value breaks a rule; the message names both.", "Send a value that it allows."
    ),
    "invalid_brief": ErrorCode(
        (422,), "The brief breaks a rule; nothing was started.", "Change what the message names."
    ),
    "invalid_payload": ErrorCode(
        (422,),
        "The body of a webhook makes no brief.",
        "Try it with `reelwright hooks try SOURCE FILE`.",
    ),
    "unknown_filter": ErrorCode(
        (422,), "The list has no filter of this name.", "Take one that the message names."
    ),
    "unknown_task": ErrorCode(
        (422,), "The address does not know this task.", "Take one that the message names."
    ),
    "unknown_model": ErrorCode(
        (422,), "No preset or backend has this name.", "Take one that the message names."
    ),
    "too_many": ErrorCode(
        (429, 503),
        "Too many requests of one key (429), or too many connections or checks at once (503).",
        "Wait as long as `Retry-After` says.",
    ),
    "headers_too_large": ErrorCode((431,), "The head of the request is too large.", "Send less."),
    "run_failed": ErrorCode(
        (502,),
        "The run failed while the request waited for its video.",
        "See the message and the run's page; the same request again goes on.",
    ),
    "run_cancelled": ErrorCode((502,), "Somebody cancelled the run.", "Send the request again."),
    "run_rejected": ErrorCode((502,), "A person rejected the video.", "See the reason given."),
    "damaged": ErrorCode(
        (502,),
        "The object is damaged in the store; nothing of it is sent.",
        "Give its brief again, or run `reelwright verify --repair`.",
    ),
    "unavailable": ErrorCode(
        (503,), "Prefect or another part does not answer.", "Wait as long as `Retry-After` says."
    ),
    "store_silent": ErrorCode(
        (503,), "The object store does not answer.", "Wait as long as `Retry-After` says."
    ),
    "disk_full": ErrorCode(
        (507,), "The studio's disk has too little room.", "Free some room; nothing was started."
    ),
    "http_error": ErrorCode(
        (400, 406, 415), "The web framework refused the request.", "See the message."
    ),
}
