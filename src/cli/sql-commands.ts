import { type Command, Option } from 'commander'
import {
  byteSize,
  duration,
  moment,
  offsetOrNow,
  positiveNumber,
  repeated,
  time,
} from './arguments.ts'
import { addConfigFlags } from './config-flags.ts'
import { command } from './define-command.ts'
import { addServerFlags } from './remote.ts'
import type { Session } from './session.ts'

export function addSqlCommands(program: Command, session: Session): void {
  const querying = command(
    program,
    'sql',
    'Ask one SQL question over all tiers; a log is a table of its name.',
    `sql --data-dir data 'SELECT origin, count(*) FROM flights GROUP BY 1 ORDER BY 2 DESC LIMIT 5'`,
    `sql --archive s3://bucket/prefix --format csv --param 100 'SELECT * FROM flights WHERE delay > ?'`,
  )
    .argument('<statement>', 'a SELECT')
    .addOption(
      new Option('--format <format>', 'format of the output').choices([
        'table',
        'json',
        'ndjson',
        'csv',
        'arrow',
        'parquet',
      ]),
    )
    .option('--param <value>', 'value of the next ? in the statement; may be given again', repeated)
    .option('--as-of <moment>', 'every log as it was at a snapshot, by name, or at a time', moment)
    .option('--timeout <duration>', 'give up after this')
    .option('--max-rows <n>', 'refuse a bigger answer', positiveNumber)
    .option(
      '--max-bytes <size>',
      "refuse one whose rows have more bytes in Arrow's layout",
      byteSize,
    )
    .option('--explain', 'what it takes of each tier, and how it is done, instead of its rows')
  addConfigFlags(addServerFlags(querying)).action(async (statement: string, options) => {
    const { querySql } = await import('./commands/sql.ts')
    await querySql(session, statement, options)
  })
  addStreamCommand(program, session)
}

function addStreamCommand(program: Command, session: Session): void {
  const streaming = command(
    program,
    'stream-sql',
    'Follow a log with a continuous query: rows as windows close, as NDJSON, until Ctrl-C.',
    `stream-sql --data-dir data 'SELECT count(*) AS n FROM clicks GROUP BY TUMBLE(_time, INTERVAL 1 MINUTE)'`,
    `stream-sql --url http://localhost:8080 --resume n.json --lateness 5s 'SELECT user_id, count(*) AS n …'`,
  )
    .argument('<statement>', 'a SELECT with TUMBLE, HOP or SESSION in its GROUP BY')
    .option('--param <value>', 'value of the next ? in the statement; may be given again', repeated)
    .option('--lateness <t>', 'how far behind the newest record one may come and count', duration)
    .addOption(
      new Option('--late <what>', 'what becomes of later ones').choices(['drop', 'update']),
    )
    .addOption(new Option('--emit <when>', 'when rows come').choices(['close', 'change']))
    .option('--emit-interval <t>', 'changes come this often at most', duration)
    .option('--idle-timeout <t>', 'a partition silent for so long holds no window open', duration)
    .option('--from <offset>', 'an offset, or now', offsetOrNow)
    .option('--since <time>', 'only records at or after this time', time)
    .option('--until-now', 'end with what is there now')
    .option('--skip-gaps', 'pass over records that no tier holds any more')
    .option('--resume <file>', 'note there how far it is, and go on where the last one stopped')
  addConfigFlags(addServerFlags(streaming)).action(async (statement: string, options) => {
    const { streamSql } = await import('./commands/stream-sql.ts')
    await streamSql(session, statement, options)
  })
}
