/**
 * The configuration as flags and as a file. Every key of the configuration is a flag in kebab case
 * of every command that opens a directory, and a key of the file that `--config` names; a flag wins
 * over the file.
 */
import { type Command, Option } from 'commander'
import { StratalogError } from '../base/errors.ts'
import { LOG_LEVELS } from '../base/logger.ts'
import { configError } from '../engine/config-error.ts'
import {
  byteSize,
  duration,
  fraction,
  positiveNumber,
  wholeNumber,
  wholeNumberOfAnySign,
} from './arguments.ts'

interface ConfigFlag {
  /** The key's path: `maxMemoryBytes`, `s3.endpoint`, `defaults.memoryTtl`. */
  readonly path: string
  readonly flags: string
  readonly text: string
  readonly parse?: (text: string) => unknown
  readonly choices?: readonly string[]
}

const WHERE_FLAGS: readonly ConfigFlag[] = [
  {
    path: 'dataDir',
    flags: '--data-dir <dir>',
    text: 'directory of the WAL, segments and manifest',
  },
  { path: 'archive', flags: '--archive <url>', text: 's3://bucket/prefix or file:///path' },
  { path: 's3.endpoint', flags: '--s3-endpoint <url>', text: 'an S3 endpoint that is not AWS' },
  { path: 's3.region', flags: '--s3-region <region>', text: 'region of the bucket' },
  {
    path: 's3.forcePathStyle',
    flags: '--s3-path-style',
    text: 'bucket in the path of the URL, not in the host',
  },
]

const ENGINE_FLAGS: readonly ConfigFlag[] = [
  {
    path: 'maxMemoryBytes',
    flags: '--max-memory-bytes <size>',
    text: 'budget of records in RAM',
    parse: byteSize,
  },
  {
    path: 'walBytesMax',
    flags: '--wal-bytes-max <size>',
    text: 'what the WAL keeps before idle logs are flushed for it',
    parse: byteSize,
  },
  {
    path: 'maxDiskBytes',
    flags: '--max-disk-bytes <size>',
    text: 'budget of segments on disk',
    parse: byteSize,
  },
  {
    path: 'maxUploadBytesPerSecond',
    flags: '--max-upload-bytes-per-second <size>',
    text: 'bandwidth to the archive',
    parse: byteSize,
  },
  {
    path: 'maxFlushes',
    flags: '--max-flushes <n>',
    text: 'flushes at the same time',
    parse: positiveNumber,
  },
  {
    path: 'maxUploads',
    flags: '--max-uploads <n>',
    text: 'moves to the archive at the same time',
    parse: positiveNumber,
  },
  {
    path: 'maxCacheBytes',
    flags: '--max-cache-bytes <size>',
    text: 'disk for what was fetched from the archive',
    parse: byteSize,
  },
  {
    path: 'fenceCheckInterval',
    flags: '--fence-check-interval <t>',
    text: 'look for a newer writer of the archive this often',
    parse: duration,
  },
  {
    path: 'scrubInterval',
    flags: '--scrub-interval <t>',
    text: 'check every byte within this time; 0: never',
    parse: duration,
  },
  {
    path: 'scrubBytesPerSecond',
    flags: '--scrub-bytes-per-second <size>',
    text: 'read for that at most',
    parse: byteSize,
  },
  {
    path: 'evictionWatermark',
    flags: '--eviction-watermark <n>',
    text: 'reclaim at this part of RAM and disk',
    parse: fraction,
  },
  {
    path: 'snapshotLocation',
    flags: '--snapshot-location <place>',
    text: 'where snapshots lie beside an archive: a directory or a URL',
  },
  {
    path: 'restoreOnOpen',
    flags: '--no-restore-on-open',
    text: 'logs in RAM do not come back from there',
  },
  {
    path: 'snapshotInterval',
    flags: '--snapshot-interval <t>',
    text: 'a snapshot of all logs is made this often',
    parse: duration,
  },
  {
    path: 'snapshotOnClose',
    flags: '--snapshot-on-close',
    text: 'a snapshot of all logs is made at closing',
  },
  {
    path: 'snapshotKeep',
    flags: '--snapshot-keep <n>',
    text: 'how many of these are kept',
    parse: wholeNumber,
  },
  {
    path: 'snapshotMaxAge',
    flags: '--snapshot-max-age <t>',
    text: 'how old such a snapshot gets',
    parse: duration,
  },
  {
    path: 'queryIsolation',
    flags: '--query-isolation <mode>',
    text: 'where SQL runs',
    choices: ['thread', 'process'],
  },
  {
    path: 'logLevel',
    flags: '--log-level <level>',
    text: 'what the engine says of itself',
    choices: LOG_LEVELS,
  },
]

const POLICY_FLAGS: readonly ConfigFlag[] = [
  {
    path: 'defaults.mode',
    flags: '--mode <mode>',
    text: 'where records go',
    choices: ['memory', 'persistent', 'hybrid'],
  },
  {
    path: 'defaults.memoryTtl',
    flags: '--memory-ttl <t>',
    text: 'RAM copy goes after this',
    parse: duration,
  },
  {
    path: 'defaults.diskAfter',
    flags: '--disk-after <t>',
    text: 'disk copy no later than this',
    parse: duration,
  },
  {
    path: 'defaults.archiveAfter',
    flags: '--archive-after <t>',
    text: 'object copy no later than this',
    parse: duration,
  },
  {
    path: 'defaults.diskTtl',
    flags: '--disk-ttl <t>',
    text: 'disk copy goes after this',
    parse: duration,
  },
  {
    path: 'defaults.retention',
    flags: '--retention <t>',
    text: 'a record is gone from every tier after this',
    parse: duration,
  },
  {
    path: 'defaults.retentionBytes',
    flags: '--retention-bytes <size>',
    text: 'stored bytes of a partition before its oldest segments go',
    parse: byteSize,
  },
  {
    path: 'defaults.segmentFormat',
    flags: '--segment-format <format>',
    text: 'how segments are written',
    choices: ['arrow', 'parquet'],
  },
  {
    path: 'defaults.parquetAfter',
    flags: '--parquet-after <t>',
    text: 'Arrow segments become Parquet after this',
    parse: duration,
  },
  {
    path: 'defaults.keep',
    flags: '--keep <versions>',
    text: 'of logs with a key: all versions, or of aged segments the latest',
    choices: ['all', 'latest'],
  },
  {
    path: 'defaults.localDisk',
    flags: '--no-local-disk',
    text: 'from RAM straight to the archive',
  },
  { path: 'defaults.wal', flags: '--no-wal', text: 'no write-ahead log' },
  {
    path: 'defaults.memoryFirst',
    flags: '--no-memory-first',
    text: 'RAM holds only what is not on disk yet',
  },
  {
    path: 'defaults.diskFallback',
    flags: '--no-disk-fallback',
    text: 'full RAM flushes nothing before its time',
  },
  {
    path: 'defaults.ack',
    flags: '--ack <level>',
    text: 'when an append is done',
    choices: ['memory', 'disk', 'object'],
  },
  {
    path: 'defaults.ttl',
    flags: '--ttl <t>',
    text: 'a record in RAM only is gone after this',
    parse: duration,
  },
  {
    path: 'defaults.priority',
    flags: '--priority <n>',
    text: 'higher stays longer in RAM only',
    parse: wholeNumberOfAnySign,
  },
  {
    path: 'defaults.maxMemoryBytes',
    flags: '--log-max-memory-bytes <size>',
    text: 'budget of one log in RAM only',
    parse: byteSize,
  },
  {
    path: 'evictionPolicy',
    flags: '--eviction-policy <policy>',
    text: 'what gives way when RAM is full',
    choices: ['fifo', 'lru', 'ttl', 'priority', 'reject'],
  },
]

/** Every key with a flag; a test holds this to the configuration's own list. */
export const CONFIG_FLAG_PATHS: readonly string[] = [
  ...WHERE_FLAGS,
  ...ENGINE_FLAGS,
  ...POLICY_FLAGS,
].map((flag) => flag.path)

/** What the parser makes of the flags of this file, by its own names. */
export type FlagValues = Readonly<Record<string, unknown>>

/** Adds `--data-dir`, `--archive`, the S3 settings and `--config`. */
export function addWhereFlags(command: Command): Command {
  command.optionsGroup('Where the data is:')
  for (const flag of WHERE_FLAGS) command.addOption(toOption(flag))
  command.option('--config <file>', 'JSON file with keys of the configuration')
  return command
}

/** Adds the flags of every key of the configuration. `skip` names paths for which the command has a flag of its own. */
export function addConfigFlags(command: Command, skip: readonly string[] = []): Command {
  addWhereFlags(command)
  command.optionsGroup('Engine:')
  for (const flag of ENGINE_FLAGS) addFlag(command, flag)
  command.addOption(
    new Option('--max-memory <size>', 'short for --max-memory-bytes').argParser(byteSize),
  )
  command.optionsGroup('Policy of the logs that are made:')
  for (const flag of POLICY_FLAGS) {
    if (!skip.includes(flag.path)) addFlag(command, flag)
  }
  command.optionsGroup('Options:')
  return command
}

/**
 * What file and flags give together, not validated.
 * @throws StratalogError `file_not_found`, `config_invalid` for a file that is no JSON object.
 */
export function givenConfiguration(values: FlagValues): Readonly<Record<string, unknown>> {
  const config = typeof values['config'] === 'string' ? readConfigFile(values['config']) : {}
  for (const flag of [...WHERE_FLAGS, ...ENGINE_FLAGS, ...POLICY_FLAGS]) {
    const given = flagValue(flag, values)
    if (given !== undefined) setPath(config, flag.path, given)
  }
  return config
}

/** The policy that flags name, by the keys of a policy: what a file gives as default is not among it. */
export function givenPolicy(values: FlagValues): FlagValues {
  const given = POLICY_FLAGS.map((flag) => [
    flag.path.replace('defaults.', ''),
    flagValue(flag, values),
  ])
  return Object.fromEntries(given.filter(([, value]) => value !== undefined)) as FlagValues
}

/** The flags without those of a policy: for a command that gives them to one log, and not to those that are made. */
export function withoutPolicy(values: FlagValues): FlagValues {
  const names = new Set(POLICY_FLAGS.map((flag) => new Option(flag.flags).attributeName()))
  return Object.fromEntries(Object.entries(values).filter(([name]) => !names.has(name)))
}

/** For a server, which opened its engine itself. @throws StratalogError `argument_invalid` for a flag that says how. */
export function assertNoEngineFlags(values: FlagValues): void {
  const flag = [...WHERE_FLAGS, ...ENGINE_FLAGS].find(
    (known) => flagValue(known, values) !== undefined,
  )
  if (flag === undefined) return
  const [name = ''] = flag.flags.split(' ')
  throw new StratalogError(
    'argument_invalid',
    `${name} goes without --url: the server opened its engine, with settings of its own.`,
    { details: { flag: name } },
  )
}

function addFlag(command: Command, flag: ConfigFlag): void {
  // The positive flag comes first: without it the parser would make every `--no-x` true by
  // default and hide whether it was given.
  const positive = flag.flags.replace('--no-', '--')
  if (positive !== flag.flags) command.addOption(new Option(positive).hideHelp())
  command.addOption(toOption(flag))
}

function toOption(flag: ConfigFlag): Option {
  const option = new Option(flag.flags, flag.text)
  if (flag.choices !== undefined) option.choices(flag.choices)
  if (flag.parse !== undefined) option.argParser(flag.parse)
  return option
}

function flagValue(flag: ConfigFlag, values: FlagValues): unknown {
  const given = values[new Option(flag.flags).attributeName()]
  if (flag.path === 'maxMemoryBytes' && given === undefined) return values['maxMemory']
  return given
}

type MutableConfig = Record<string, unknown>

/**
 * `maxMemory` is short for `maxMemoryBytes`, as the flag is. A policy key may stand at the top of the file or, as in
 * the API, under `defaults`; one that is a key of the engine as well is the engine's there.
 */
function readConfigFile(path: string): MutableConfig {
  const config = parseConfigFile(path)
  takeShortBudget(config)
  for (const { path: key } of POLICY_FLAGS) {
    const name = key.replace('defaults.', '')
    if (name === key || name === 'maxMemoryBytes' || !Object.hasOwn(config, name)) continue
    setPath(config, key, config[name])
    delete config[name]
  }
  return config
}

/** @throws StratalogError `config_invalid` for a budget that is given under both of its names. */
function takeShortBudget(config: MutableConfig): void {
  const { maxMemory, maxMemoryBytes } = config
  if (maxMemory === undefined) return
  if (maxMemoryBytes !== undefined) {
    const allowed = 'nothing beside maxMemoryBytes, which it is short for'
    throw configError([{ path: 'maxMemory', given: maxMemory, allowed }])
  }
  config['maxMemoryBytes'] = maxMemory
  delete config['maxMemory']
}

function parseConfigFile(path: string): MutableConfig {
  let text: string
  try {
    text = process.getBuiltinModule('node:fs').readFileSync(path, 'utf8')
  } catch (error) {
    throw new StratalogError(
      'file_not_found',
      `The configuration ${path} cannot be read: ${(error as Error).message}.`,
      {
        cause: error,
        details: { path },
      },
    )
  }
  try {
    const value = JSON.parse(text) as unknown
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  } catch (error) {
    throw notConfig(path, (error as Error).message)
  }
  throw notConfig(path, 'it is not an object')
}

function notConfig(path: string, reason: string): StratalogError {
  return new StratalogError(
    'config_invalid',
    `The configuration ${path} is not a JSON object: ${reason}.`,
    {
      details: { path, reason },
    },
  )
}

function setPath(config: MutableConfig, path: string, value: unknown): void {
  const [first = '', ...rest] = path.split('.')
  if (rest.length === 0) {
    config[first] = value
    return
  }
  const inner = config[first]
  const copy: MutableConfig = typeof inner === 'object' && inner !== null ? { ...inner } : {}
  setPath(copy, rest.join('.'), value)
  config[first] = copy
}
