/** The configuration of a command. Loaded by the commands, not by the parser: it brings the validator with it. */
import { type StratalogOptions, validateOptions } from '../engine/config.ts'
import { type FlagValues, givenConfiguration } from './config-flags.ts'

/**
 * The configuration that file and flags give together.
 * @throws StratalogError `config_invalid` with every problem; `file_not_found` for the file.
 */
export function readConfiguration(values: FlagValues): StratalogOptions {
  return readServerConfiguration(values).config
}

/**
 * As `readConfiguration`, with what of the file is for the server alone, not validated. Other commands pass over it, so
 * that they take the same file. @throws as `readConfiguration`.
 */
export function readServerConfiguration(values: FlagValues): {
  readonly config: StratalogOptions
  readonly corsOrigin: unknown
} {
  const { corsOrigin, ...config } = givenConfiguration(values)
  return { config: validateOptions(config), corsOrigin: values['corsOrigin'] ?? corsOrigin }
}
