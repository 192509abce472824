/**
 * The commands with their flags and examples. What a command does is loaded when it runs, so that `--help` is fast.
 * Defined once here; docs/cli.md shows the same, which a test holds together.
 */
import { createRequire } from 'node:module'
import { Command, Option } from 'commander'
import {
  demoRecords,
  duration,
  fraction,
  list,
  logName,
  offsetTargets,
  positiveNumber,
  renames,
  repeated,
  speed,
  time,
  wholeNumber,
} from './arguments.ts'
import { addCompletionCommand } from './completion-command.ts'
import { addConfigFlags, addWhereFlags } from './config-flags.ts'
import { type SetStatus, command } from './define-command.ts'
import { addRangeFlags } from './record-flags.ts'
import { addServerFlags } from './remote.ts'
import type { Session } from './session.ts'
import { SERVER_COMMANDS, addServerCommands } from './server-commands.ts'
import { addSnapshotCommands } from './snapshot-commands.ts'
import { addSqlCommands } from './sql-commands.ts'

const HELP_WIDTH_MAX = 110

/**
 * All commands; for a command line that begins with one of the server's those alone, as defining a hundred others is a
 * tenth of a start.
 */
export function buildProgram(session: Session, setStatus: SetStatus, first = ''): Command {
  const { version } = createRequire(import.meta.url)('../../package.json') as { version: string }
  const program = new Command('stratalog')
    .description(
      'A hybrid tiered log store: hot records in RAM, durable on disk, cheap in S3, one SQL over all of it.',
    )
    .version(version, '-V, --version')
    .exitOverride()
    .configureHelp({ helpWidth: Math.min(process.stdout.columns ?? 100, HELP_WIDTH_MAX) })
    // Errors are reported in one place, as text or as JSON.
    .configureOutput({ outputError: () => {}, writeErr: () => {} })
  if (SERVER_COMMANDS.includes(first)) {
    addServerCommands(program, session)
    return program
  }
  addDataCommands(program, session, setStatus)
  addLogCommands(program, session)
  addRecoveryCommands(program, session, setStatus)
  addLookCommands(program, session, setStatus)
  addServerCommands(program, session)
  addDemoCommand(program, session, setStatus)
  addCompletionCommand(program, session)
  program.addHelpText(
    'after',
    `\nTry it:\n  stratalog demo\n\nEvery command has --help with examples.`,
  )
  return program
}

function logOption(): Option {
  return new Option('--log <name>', 'the log').argParser(logName).makeOptionMandatory()
}

function addDataCommands(program: Command, session: Session, setStatus: SetStatus): void {
  program.commandsGroup('Records:')
  const importing = command(
    program,
    'import',
    'Bring files into a log; the log is made if it is not there.',
    'import --data-dir data --log requests --format combined access.log.gz',
    'zcat events.ndjson.gz | stratalog import --data-dir data --log events -',
  )
    .argument('<file...>', `files, patterns such as 'logs/*.gz', or '-' for standard input`)
    .addOption(logOption())
    .addOption(
      formatOption(
        ['auto', 'ndjson', 'csv', 'parquet', 'arrow', 'combined'],
        'of the input',
      ).default('auto'),
    )
    .option('--rejects <file>', 'write what was refused there, with reasons, as NDJSON')
    .option('--batch-records <n>', 'records in one append', positiveNumber)
    .option('--resume <file>', 'note there how far it is, and go on where the last one stopped')
  addCreateOptions(importing)
  addConfigFlags(addServerFlags(importing)).action(async (files: string[], options) => {
    const { importFiles } = await import('./commands/import.ts')
    await importFiles(session, files, options)
  })

  const appending = command(
    program,
    'append',
    'Append NDJSON from standard input; each acknowledgement is a line of output.',
    `append --data-dir data --log events < events.ndjson`,
  )
    .addOption(logOption())
    .option('--batch-records <n>', 'records in one append; 1 acknowledges each', positiveNumber, 1)
    .option('--partition <p>', 'partition to append to', wholeNumber)
    .addOption(
      new Option('--ack <level>', 'what an acknowledgement promises').choices([
        'memory',
        'disk',
        'object',
      ]),
    )
  addCreateOptions(appending)
  addConfigFlags(addServerFlags(appending), ['defaults.ack']).action(async (options) => {
    const { appendLines } = await import('./commands/append.ts')
    await appendLines(session, options)
  })

  const reading = command(
    program,
    'read',
    'Read records in offset order, across all tiers.',
    'read --data-dir data --log events --last 10',
    'read --archive s3://bucket/prefix --log events --since 2026-01-01 --format csv',
    'read --data-dir data --log users --latest --as-of 2026-01-01',
  )
    .addOption(logOption())
    .option('--latest', 'the newest record of each key, and none that is deleted')
    .option('--follow', 'go on with records as they arrive')
    .addOption(formatOption(['table', 'ndjson', 'csv', 'arrow', 'parquet'], 'of the output'))
  addConfigFlags(addServerFlags(addRangeFlags(reading))).action(async (options) => {
    const { readRecords } = await import('./commands/read.ts')
    await readRecords(session, options)
  })

  const exporting = command(
    program,
    'export',
    'Write records of a log to a file, which is there whole or not at all.',
    'export --data-dir data --log events --output events.parquet',
    'export --archive s3://bucket/prefix --log events --since 2026-01-01 --output events.csv.gz',
  )
    .addOption(logOption())
    .requiredOption('--output <file>', 'its name; .gz and .zst compress it')
    .option('--force', 'replace a file that is there')
    .addOption(formatOption(['ndjson', 'csv', 'arrow', 'parquet'], 'where the name does not say'))
  addConfigFlags(addServerFlags(addRangeFlags(exporting))).action(async (options) => {
    const { exportLog } = await import('./commands/export.ts')
    await exportLog(session, options)
  })

  addSqlCommands(program, session)
  void setStatus
}

function formatOption(choices: readonly string[], of: string): Option {
  return new Option('--format <format>', `format ${of}`).choices(choices)
}

/** How a log is made where the command makes one. */
function addCreateOptions(parent: Command): void {
  parent
    .option('--partitions <n>', 'partitions of a log that is made', positiveNumber)
    .option('--time-column <name>', 'column with the time of a record')
    .option('--key-column <name>', 'column with the key of a record')
    .option(
      '--schema <file>',
      'JSON file with its columns: {"name":"type"} or [{"name","type","nullable"}]',
    )
}

function addLogCommands(program: Command, session: Session): void {
  program.commandsGroup('Logs and tiers:')
  const logs = program.command('logs').description('Make, list, describe, change and delete logs.')
  const creating = command(
    logs,
    'create <name>',
    'Make a log.',
    'logs create orders --data-dir data --mode persistent',
    'logs create metrics --data-dir data --archive s3://bucket/prefix --memory-ttl 1h --disk-ttl 7d',
  )
  addCreateOptions(creating)
  addConfigFlags(addServerFlags(creating)).action(async (name: string, options) => {
    const { createLog } = await import('./commands/logs.ts')
    await createLog(session, name, options)
  })
  const listing = command(logs, 'list', 'All logs.', 'logs list --data-dir data')
  addConfigFlags(addServerFlags(listing)).action(async (options) => {
    const { listLogs } = await import('./commands/logs.ts')
    await listLogs(session, options)
  })
  const describing = command(
    logs,
    'describe <name>',
    'One log.',
    'logs describe orders --data-dir data --json',
  )
  addConfigFlags(addServerFlags(describing)).action(async (name: string, options) => {
    const { describeLog } = await import('./commands/logs.ts')
    await describeLog(session, name, options)
  })
  const altering = command(
    logs,
    'alter <name>',
    'Change the policy of a log; what is there is brought to the new promise.',
    'logs alter orders --data-dir data --mode persistent',
    'logs alter metrics --data-dir data --archive s3://bucket/prefix --disk-ttl 7d --reset ack',
  ).option('--reset <keys>', 'these keys of the policy go back to their defaults', list)
  addConfigFlags(addServerFlags(altering)).action(async (name: string, options) => {
    const { alterLog } = await import('./commands/logs.ts')
    await alterLog(session, name, options)
  })
  const deleting = command(
    logs,
    'delete <name>',
    'Delete a log with all its records; forks and snapshots of it stay.',
    'logs delete orders --data-dir data --archive s3://bucket/prefix',
    'logs delete orders --data-dir data --yes --json',
  ).option('--yes', 'do not ask first')
  addConfigFlags(addServerFlags(deleting)).action(async (name: string, options) => {
    const { deleteLog } = await import('./commands/logs.ts')
    await deleteLog(session, name, options)
  })

  const tier = program.command('tier').description('Move records between tiers.')
  const now = command(
    tier,
    'now',
    'Bring all that was appended before to a tier, and return when it is there.',
    'tier now --data-dir data --archive file:///mnt/archive --to object',
  )
    .option('--log <names>', 'these logs only', list)
    .addOption(new Option('--to <tier>', 'the tier').choices(['disk', 'object']))
  addConfigFlags(addServerFlags(now)).action(async (options) => {
    const { tierNow } = await import('./commands/tier.ts')
    await tierNow(session, options)
  })
  const tierDescribing = command(
    tier,
    'describe',
    'What moves next, when and why; what lags, and what failed.',
    'tier describe --data-dir data --archive s3://bucket/prefix',
  ).option('--log <names>', 'these logs only', list)
  addConfigFlags(addServerFlags(tierDescribing)).action(async (options) => {
    const { tierDescribe } = await import('./commands/tier.ts')
    await tierDescribe(session, options)
  })
  const compacting = command(
    tier,
    'compact',
    'Make one segment of each run of small neighbours.',
    'tier compact --data-dir data --archive s3://bucket/prefix --log clicks',
  ).option('--log <names>', 'these logs only', list)
  addConfigFlags(addServerFlags(compacting)).action(async (options) => {
    const { tierCompact } = await import('./commands/tier.ts')
    await tierCompact(session, options)
  })
  const pausing = command(
    tier,
    'pause',
    'Move nothing by itself any more, until it is resumed; it holds through restarts.',
    'tier pause --data-dir data',
    'tier pause --data-dir data --log clicks',
  ).option('--log <names>', 'these logs only', list)
  addConfigFlags(addServerFlags(pausing)).action(async (options) => {
    const { tierPause } = await import('./commands/tier.ts')
    await tierPause(session, options, 'pause')
  })
  const resuming = command(
    tier,
    'resume',
    'Move again what was paused.',
    'tier resume --data-dir data',
  ).option('--log <names>', 'these logs only', list)
  addConfigFlags(addServerFlags(resuming)).action(async (options) => {
    const { tierPause } = await import('./commands/tier.ts')
    await tierPause(session, options, 'resume')
  })
  const attaching = command(
    tier,
    'attach',
    'Make a log that only the archive has a log of this directory.',
    'tier attach --data-dir data --archive s3://bucket/prefix --log clicks',
  ).addOption(logOption())
  addConfigFlags(addServerFlags(attaching)).action(async (options) => {
    const { tierAttach } = await import('./commands/tier.ts')
    await tierAttach(session, options)
  })
  const detaching = command(
    tier,
    'detach',
    'Forget a log that lies wholly in the archive, which keeps it.',
    'tier detach --data-dir data --archive s3://bucket/prefix --log clicks',
  ).addOption(logOption())
  addConfigFlags(addServerFlags(detaching)).action(async (options) => {
    const { tierDetach } = await import('./commands/tier.ts')
    await tierDetach(session, options)
  })
  const collecting = command(
    tier,
    'collect',
    'Remove objects from the archive that no log and no snapshot needs any more.',
    'tier collect --data-dir data --archive s3://bucket/prefix --dry-run',
  )
    .option('--dry-run', 'say what would go, and remove nothing')
    .addOption(
      new Option('--grace <t>', 'what was retired less long ago stays (default: 1h)').argParser(
        duration,
      ),
    )
  addConfigFlags(addServerFlags(collecting)).action(async (options) => {
    const { tierCollect } = await import('./commands/tier.ts')
    await tierCollect(session, options)
  })
}

function addRecoveryCommands(program: Command, session: Session, setStatus: SetStatus): void {
  program.commandsGroup('Snapshots and recovery:')
  addSnapshotCommands(program, session, setStatus)

  const restoring = command(
    program,
    'restore',
    'Make a data directory from an archive alone.',
    'restore --archive s3://bucket/prefix --data-dir restored',
    'restore --archive s3://bucket/prefix --data-dir restored --at 2026-01-31T12:00:00Z --plan',
    'restore --url http://127.0.0.1:8080 --snapshot nightly --logs orders --rename orders=orders-old',
  )
    .option('--snapshot <name>', 'as of this snapshot')
    .option('--at <time>', 'as of this time', time)
    .option('--to-offset <l/p=o>', 'up to these offsets; may be given again', offsetTargets)
    .option('--logs <a,b>', 'these logs only', list)
    .option('--rename <a=b>', 'new names of logs', renames)
    .option('--eager', 'copy and verify everything before it ends')
    .option('--plan', 'say what would be done and how long it takes, and do nothing')
    .option('--yes', 'do not ask first')
  addWhereFlags(addServerFlags(restoring)).action(async (options) => {
    const { restore } = await import('./commands/restore.ts')
    await restore(session, options)
  })

  const reconciling = command(
    program,
    'reconcile',
    'Keep what only the directory has as forks, where another machine went on with its archive.',
    'reconcile --data-dir data --archive s3://bucket/prefix',
  )
  addWhereFlags(reconciling).action(async (options) => {
    const { reconcile } = await import('./commands/reconcile.ts')
    await reconcile(session, options)
  })

  const forking = command(
    program,
    'fork',
    'Make a log that shares all data of another up to a point, without copying it.',
    'fork --data-dir data --log orders --as orders-before --at 2026-01-31T14:05:00Z',
    'fork --data-dir data --log orders --as trial --at-offset 1000 --json',
  )
    .option('--log <name>', 'the log')
    .option('--as <name>', 'the name of the new one')
    .option('--at-offset <offset>', 'the first offset that is not shared', wholeNumber)
    .option('--at <time>', 'what had been appended by then is shared', time)
    .option('--snapshot <name>', 'what this snapshot holds is shared')
  addConfigFlags(addServerFlags(forking)).action(async (options) => {
    const { forkLog } = await import('./commands/logs.ts')
    await forkLog(session, options)
  })

  const replaying = command(
    program,
    'replay',
    'Re-emit history from an archive, in order.',
    'replay --archive s3://bucket/prefix --since 2026-01-01 --json',
    'replay --archive s3://bucket/prefix --logs orders --into - > orders.ndjson',
  )
    .option('--logs <a,b>', 'these logs only', list)
    .option('--since <time>', 'records from this time on', time)
    .option('--until <time>', 'records before this time', time)
    .option('--from <offset>', 'first offset', wholeNumber)
    .option('--to <offset>', 'end before this offset', wholeNumber)
    .option(
      '--speed <speed>',
      'max, realtime, a factor such as 2x, or stepped: a step for each line of input',
      speed,
      'max',
    )
    .option('--step-records <n>', 'records of a step, at most (default: 1)', positiveNumber)
    .option(
      '--into <target>',
      `a data directory, http://… for POSTs of NDJSON, '-' for standard output, with --url 'engine'; without it records are only counted and hashed`,
    )
    .option('--into-hosts <a,b>', 'hosts beside this machine that --into may name', list)
    .option('--into-private', 'these hosts may be of a private network')
    .addOption(formatOption(['ndjson', 'arrow'], `of '--into -'`))
    .option('--resume <file>', 'note there how far it is, and go on where the last one stopped')
  addWhereFlags(addServerFlags(replaying)).action(async (options) => {
    const { replay } = await import('./commands/replay.ts')
    await replay(session, options)
  })

  const drilling = command(
    program,
    'drill',
    'Rehearse a restore: restore, verify, measure, and say PASS or FAIL.',
    'drill --archive s3://bucket/prefix',
    'drill --archive s3://bucket/prefix --against data --report drill.md',
    'drill --archive s3://bucket/prefix --against http://127.0.0.1:8080',
  )
    .option('--sample <part>', 'restore and verify only this part of it, such as 0.1', fraction)
    .option('--against <place>', 'compare with this data directory, or with http://… of a server')
    .option('--check <sql>', 'a question whose answer is checked; may be given again', repeated)
    .option('--expect <json>', 'the answer to the check before it', repeated)
    .option('--report <file>', 'write a report: .md or .html')
  addWhereFlags(addServerFlags(drilling)).action(async (options) => {
    const { drill } = await import('./commands/drill.ts')
    await drill(session, options, setStatus)
  })
}

function addLookCommands(program: Command, session: Session, setStatus: SetStatus): void {
  program.commandsGroup('Looking:')
  const status = command(program, 'status', 'What is where.', 'status --data-dir data --json')
  addConfigFlags(addServerFlags(status)).action(async (options) => {
    const { showStatus } = await import('./commands/status.ts')
    await showStatus(session, options)
  })
  const dumping = command(
    program,
    'dump',
    'The whole state as JSON Lines: a header, a line for each log, then the records.',
    'dump --data-dir data',
    'dump --archive s3://bucket/prefix --log orders,clicks > state.ndjson',
  ).option('--log <names>', 'these logs only', list)
  addConfigFlags(addServerFlags(dumping)).action(async (options) => {
    const { dumpState } = await import('./commands/dump.ts')
    await dumpState(session, options)
  })
  const verifying = command(
    program,
    'verify',
    'Check every file of a directory, of an archive or of both, and say what is still readable.',
    'verify --data-dir data',
    'verify --data-dir data --archive s3://bucket/prefix --json',
  )
  addWhereFlags(addServerFlags(verifying)).action(async (options) => {
    const { verify } = await import('./commands/verify.ts')
    await verify(session, options, setStatus)
  })
  const scrubbing = command(
    program,
    'scrub',
    'Check every copy of every segment; with --repair make a damaged one again from the other.',
    'scrub --data-dir data --archive s3://bucket/prefix',
    'scrub --data-dir data --archive s3://bucket/prefix --repair',
  ).option('--repair', 'make damaged and missing copies again; nobody else may write the directory')
  addConfigFlags(addServerFlags(scrubbing)).action(async (options) => {
    const { scrub } = await import('./commands/scrub.ts')
    await scrub(session, options, setStatus)
  })
  const inspecting = command(
    program,
    'inspect',
    'What a file or an object says of itself: segment, WAL file, manifest, identity.',
    'inspect data/manifest/000000000001.edit',
    'inspect --archive s3://bucket/prefix stratalog.json --json',
  ).argument('<file>', 'a file, or a key below the archive or the data directory')
  addWhereFlags(inspecting).action(async (file: string, options) => {
    const { inspect } = await import('./commands/inspect.ts')
    await inspect(session, file, options)
  })
}

function addDemoCommand(program: Command, session: Session, setStatus: SetStatus): void {
  program.commandsGroup('Showing:')
  command(
    program,
    'demo',
    'Three million real records through RAM, disk and archive, one SQL, a crash, a proved restore.',
    'demo',
    'demo --archive s3://bucket --s3-endpoint http://127.0.0.1:9000',
  )
    .option('--records <n>', 'how many records, at least 1000', demoRecords)
    .option(
      '--archive <url>',
      'an archive to use; its bucket is made, and what was written is removed after',
    )
    .option('--keep <dir>', 'leave the data directory and the archive there for a look')
    .option('--s3-endpoint <url>', 'an S3 endpoint that is not AWS')
    .option('--s3-region <region>', 'region of the bucket')
    .option('--s3-path-style', 'bucket in the path of the URL, not in the host')
    .action(async (options) => {
      const { runDemo } = await import('./demo/demo.ts')
      await runDemo(session, options, setStatus)
    })
}
