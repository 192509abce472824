/** What a query worker does, in memory that it shares with the thread that started it. */
export const QUERY_WORKER_LOADING = 0
export const QUERY_WORKER_RUNNING = 1
/** DuckDB is at rest for good. */
export const QUERY_WORKER_CLOSED = 2
