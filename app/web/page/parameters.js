/**
 * From a template's JSON Schema to the fields of a form: which control suits a property, what it can be chosen from,
 * and whether it is in sight or folded. Pure but for the elements it makes.
 */

import { ChoiceField, NumberField, SeedField, SwitchField, TextField } from "./fields.js";
import { MediaField } from "./media_field.js";
import { SizeField } from "./size_field.js";

/** In sight even where they are optional; the rest of the optional ones is folded. */
const IN_SIGHT = new Set(["prompt", "steps", "seed", "batchSize"]);

/** Their label says it all. */
const PLAIN = new Set(["prompt", "batchSize"]);

/** A template with no more parameters than this needs no fold. */
const FEW = 6;

/** Where `GET /api/models` lists what a parameter can be, if the schema does not. */
const CATEGORIES = {
  sampler: "samplers",
  scheduler: "schedulers",
  model: "checkpoints",
  checkpoint: "checkpoints",
  lora: "loras",
  vae: "vaes",
  upscaleModel: "upscaleModels",
  controlNet: "controlNets",
  textEncoder: "textEncoders",
  clipVision: "clipVision",
};

/** Texts longer than this are written in a box of several lines. */
const LONG = 1000;

/**
 * `{sight, folded}`: what to show, in order. Entries are fields or a SizeField, each with an `element`; `fields` of the
 * answer are the single ones.
 */
export function fieldsOf(template, { client, models }) {
  const { properties = {}, required = [] } = template.parametersSchema;
  const names = Object.keys(properties);
  const sight = [];
  const folded = [];
  const fields = [];
  for (const name of names) {
    if (name === "height" && names.includes("width")) continue;
    const made =
      name === "width" && names.includes("height")
        ? new SizeField(properties.width, properties.height, { required })
        : fieldOf(name, properties[name], { required: required.includes(name), client, models });
    const isSeen = required.includes(name) || IN_SIGHT.has(name) || made instanceof SizeField || names.length <= FEW;
    (isSeen ? sight : folded).push(made);
    fields.push(...(made.fields ?? [made]));
  }
  return { sight: sight.sort((one, other) => rank(one) - rank(other)), folded, fields };
}

/** The order in which one thinks of a picture: what, from what, how large, how; then the seed. */
function rank(field) {
  if (field instanceof TextField) return 0;
  if (field instanceof MediaField) return 1;
  if (field instanceof SizeField) return 2;
  return field instanceof SeedField ? 4 : 3;
}

function fieldOf(name, schema, options) {
  const all = { ...options, schema, ...(PLAIN.has(name) && { hint: null }) };
  if (schema.contentMediaType) return new MediaField(name, all);
  const choices = schema.enum ?? offered(name, schema, options.models);
  if (choices?.length) return new ChoiceField(name, { ...all, choices });
  if (schema.type === "boolean") return new SwitchField(name, all);
  if (schema.type === "integer" && schema.minimum === -1 && schema.default === -1) return new SeedField(name, all);
  if (schema.type === "integer" || schema.type === "number") return new NumberField(name, all);
  return new TextField(name, { ...all, long: /prompt|text/i.test(name) && (schema.maxLength ?? LONG) >= LONG });
}

function offered(name, schema, models) {
  return schema.type === "string" ? models[CATEGORIES[name.replace(/\d+$/, "")]] : undefined;
}
