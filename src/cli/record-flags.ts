import type { Command } from 'commander'
import { list, moment, time, wholeNumber } from './arguments.ts'

/** Adds the flags that say which records: of `read` and `export`. */
export function addRangeFlags(parent: Command): Command {
  return parent
    .option('--partition <p>', 'one partition only', wholeNumber)
    .option('--from <offset>', 'first offset', wholeNumber)
    .option('--to <offset>', 'end before this offset', wholeNumber)
    .option('--since <time>', 'records from this time on', time)
    .option('--until <time>', 'records before this time', time)
    .option('--last <n>', 'the newest n records', wholeNumber)
    .option('--limit <n>', 'at most n records', wholeNumber)
    .option('--columns <a,b>', 'these columns only', list)
    .option('--as-of <moment>', 'as it was at a snapshot, by name, or at a time', moment)
}
