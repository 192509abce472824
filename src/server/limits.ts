/** Every limit of the server: its unit and its reason. */

const MIB = 1024 * 1024

/** Heads of a request: room for a token, cookies of a proxy and producer headers. */
export const HEADER_BYTES_MAX: number = 16 * 1024

/** Bodies that are being received or applied, all together: what a crowd of senders may take of RAM. */
export const BODIES_BYTES_MAX: number = 256 * MIB

/**
 * Bodies that are decompressed at a time, as many as there are threads for it: a few KB may be a body of the greatest
 * length, and who sends many of them need not wait for the end.
 */
export const DECOMPRESSIONS_MAX = 4

export const CONNECTIONS_MAX = 16_384

/** A head that takes longer comes from someone who wants to hold the connection. */
export const HEADERS_TIMEOUT_MS = 15_000

/** A whole request, body and all. */
export const REQUEST_TIMEOUT_MS = 120_000

/** How often heads and bodies that take longer are looked for: the two above are exact to this. */
export const TIMEOUT_CHECK_MS = 1_000

/** A connection on which nothing is asked is kept this long; longer than what proxies wait between two requests. */
export const KEEP_ALIVE_MS = 65_000

/** Of a rate limit, what a client that was quiet may ask for at once: pages and dashboards ask for much together. */
export const RATE_BURST_SECONDS = 2

/** Clients whose rate is remembered: about 2 MB. */
export const RATE_CLIENTS_MAX = 10_000

/** How old may be what is known of the file of tokens: so soon a token that is revoked ends. */
export const TOKENS_FRESH_MS = 1_000

/** A reader that takes nothing for this long is cut off: what it does not take is held for it. */
export const SLOW_READER_MS = 30_000

/** A connection has this long to agree on keys; shorter than DRAIN_MS, as the end of the server waits for it. */
export const TLS_HANDSHAKE_MS = 5_000

/** After a signal to stop, requests have this long to end by themselves. */
export const DRAIN_MS = 10_000

/** What one catch-up answer of a stream holds at about most; the rest comes with the next offset. */
export const STREAM_CHUNK_BYTES: number = 4 * MIB

/** A long poll ends without data after this; below what proxies wait for an answer. */
export const LONG_POLL_MS = 15_000

/** A quiet event stream says this often that it is there. */
export const SSE_KEEP_ALIVE_MS = 15_000

/** An event stream ends after this, so that caches and balancers can collapse and move readers. */
export const SSE_LIFE_MS = 60_000

/** Continuous queries that run at a time: each keeps up to 64 MB of open windows, so 1 GB for all. */
export const SQL_STREAMS_MAX = 16

/** How long a browser keeps what it was told that pages may ask; Chromium keeps nothing longer. */
export const CORS_MAX_AGE_S = 7_200

/** The path of a stream, decoded. */
export const STREAM_PATH_CHARS_MAX = 1_024

/** Jobs that run at a time: each holds blocks and segments of an archive, some hundred MiB at most. */
export const JOBS_RUNNING_MAX = 2

/** Jobs that wait for their turn; more are refused. */
export const JOBS_QUEUED_MAX = 16

/** Jobs that are over and still known. */
export const JOBS_KEPT_MAX = 100

/** What their results may take together; the newest is kept whatever it takes. */
export const JOB_RESULTS_BYTES_MAX: number = 64 * MIB

/** What a job is asked for: names of logs and questions, not records. */
export const JOB_BODY_BYTES_MAX: number = 64 * 1024
