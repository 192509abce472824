/** The configuration of a command. Loaded by the commands, not by the parser: it brings the validator with it. */
import { type StratalogOptions, validateOptions } from '../engine/config.ts'
import { type FlagValues, givenConfiguration } from './config-flags.ts'

/**
 * The configuration that file and flags give together.
 * @throws StratalogError `config_invalid` with every problem; `file_not_found` for the file.
 */
export function readConfiguration(values: FlagValues): StratalogOptions {
  return validateOptions(givenConfiguration(values))
}
