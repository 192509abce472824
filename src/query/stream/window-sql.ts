/**
 * The SQL that gives the rows of windows that are due: the caller's groups over the log's own records, each beside the
 * window that it is in. Nothing is kept between two of them.
 */
import type { LateRecord } from './resume-point.ts'
import type { StreamStatement } from './stream-statement.ts'

/** Which windows are given. Times in ms; infinities are open. */
export interface DueWindows {
  /** Those that end in `(after, until]`. */
  readonly after: number
  readonly until: number
  /** Those that start in `[from, to]`. */
  readonly from: number
  readonly to: number
  /** Records of open windows are no older. */
  readonly since: number
  /** By partition, the first offset that is new: only groups with a new record are given. Null for every group. */
  readonly newFrom: readonly number[] | null
  readonly late: readonly LateRecord[]
}

/** Rows in the order of windows, in a window of the groups' keys. */
export function dueSql(statement: StreamStatement, due: DueWindows): string {
  const { newFrom } = due
  return `${windowed(statement, due)}
${newFrom === null ? statement.groupsSql : statement.changedSql}`
}

/** Where the oldest of the windows begins, in µs; one row, null where there is none. */
export function oldestStartSql(statement: StreamStatement, due: DueWindows): string {
  // A statement has to name every parameter that it is given.
  return `${windowed(statement, due)}, stream_unused AS (${statement.groupsSql})
SELECT epoch_us(min(window_start)) AS oldest FROM stream_due`
}

function windowed(statement: StreamStatement, due: DueWindows): string {
  const isSession = statement.spec.kind === 'session'
  const rows = timeBounds(statement, due)
  const windows = windowBounds(statement, due)
  // A session is made of its records, so what is late has to be left out before.
  if (isSession) rows.push(notLate(due.late, 'true'))
  else windows.push(notLate(due.late, 'window_end <= epoch_ms(horizon)'))
  return `WITH stream_rows AS (
  SELECT *, ${isNewSql(due.newFrom)} AS stream_new
  FROM (${statement.rowsSql})
  WHERE ${allOf(rows)}
), ${isSession ? sessions(statement) : aligned(statement)}, stream_due AS (
  SELECT * FROM stream_windows
  WHERE ${allOf(windows)}
)`
}

/** Records that may lie in the windows; of tumbling windows, those that do. */
function timeBounds({ spec }: StreamStatement, due: DueWindows): string[] {
  const { kind, sizeMs } = spec
  const { after, until, from, to, since } = due
  const aligned = (time: number): number => Math.floor(time / sizeMs) * sizeMs
  const [first, end] = {
    tumble: [aligned(after), aligned(until)],
    hop: [after - sizeMs, until],
    // A session that is due may have begun any time after the oldest that was open.
    session: [-Infinity, Infinity],
  }[kind] as [number, number]
  const least = Math.max(since, from, first)
  const limit = Math.min(to + sizeMs, end)
  return [
    '_time IS NOT NULL',
    ...(least === -Infinity ? [] : [`_time >= ${timeSql(least)}`]),
    ...(limit === Infinity ? [] : [`_time < ${timeSql(limit)}`]),
  ]
}

function windowBounds({ spec }: StreamStatement, due: DueWindows): string[] {
  if (spec.kind === 'tumble') return []
  const { after, until, from, to } = due
  return [
    ...(after === -Infinity ? [] : [`window_end > ${timeSql(after)}`]),
    ...(until === Infinity ? [] : [`window_end <= ${timeSql(until)}`]),
    ...(from === -Infinity ? [] : [`window_start >= ${timeSql(from)}`]),
    ...(to === Infinity ? [] : [`window_start <= ${timeSql(to)}`]),
  ]
}

/** Not a late record in the windows that it came too late for. */
function notLate(late: readonly LateRecord[], isClosed: string): string {
  if (late.length === 0) return 'true'
  const values = late.map(
    ({ partition, offset, horizon }) => `(${partition}, ${offset}, ${horizon})`,
  )
  return `NOT EXISTS (FROM (VALUES ${values.join(', ')}) stream_late(partition, record, horizon)
    WHERE partition = _partition AND record = _offset AND ${isClosed})`
}

/** Tumbling windows, and hopping ones: a row of the log for each window that it is in. */
function aligned({ spec }: StreamStatement): string {
  const { sizeMs, slideMs } = spec
  const start = `time_bucket(${intervalSql(slideMs)}, _time, TIMESTAMP '1970-01-01')`
  if (spec.kind === 'tumble') {
    return `stream_windows AS (
  SELECT *, window_start + ${intervalSql(sizeMs)} AS window_end
  FROM (SELECT *, ${start} AS window_start FROM stream_rows)
)`
  }
  return `stream_windows AS (
  SELECT *, window_start + ${intervalSql(sizeMs)} AS window_end
  FROM (
    SELECT stream_rows.*, ${start} - to_milliseconds(${slideMs} * stream_hop) AS window_start
    FROM stream_rows, range(${Math.ceil(sizeMs / slideMs)}) hops(stream_hop)
  )
  WHERE _time < window_start + ${intervalSql(sizeMs)}
)`
}

/** Rows of one key that follow each other within the gap, numbered; rows of one time in the order of their offsets. */
function sessions({ spec, keyCount }: StreamStatement): string {
  const keys = Array.from({ length: keyCount }, (_, index) => `stream_key_${index}`)
  const by = (...columns: string[]): string =>
    columns.length === 0 ? '' : `PARTITION BY ${columns.join(', ')} `
  const order = 'ORDER BY _time, _partition, _offset'
  const gap = intervalSql(spec.sizeMs)
  return `stream_marked AS (
  SELECT *, CASE WHEN _time - lag(_time) OVER (${by(...keys)}${order}) < ${gap} THEN 0 ELSE 1 END AS stream_first
  FROM stream_rows
), stream_numbered AS (
  SELECT *, sum(stream_first) OVER (${by(...keys)}${order} ROWS UNBOUNDED PRECEDING) AS stream_session
  FROM stream_marked
), stream_windows AS (
  SELECT *, min(_time) OVER (${by(...keys, 'stream_session')}) AS window_start,
    max(_time) OVER (${by(...keys, 'stream_session')}) + ${gap} AS window_end
  FROM stream_numbered
)`
}

function isNewSql(newFrom: readonly number[] | null): string {
  if (newFrom === null) return 'true'
  const cases = newFrom.map((offset, partition) => `WHEN ${partition} THEN _offset >= ${offset}`)
  return `CASE _partition ${cases.join(' ')} ELSE false END`
}

function allOf(conditions: readonly string[]): string {
  return conditions.length === 0 ? 'true' : conditions.join(' AND ')
}

function timeSql(ms: number): string {
  return `make_timestamp(${BigInt(ms) * 1000n})`
}

function intervalSql(ms: number): string {
  return `to_milliseconds(${ms})`
}
