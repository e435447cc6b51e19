"""What an encoder has learned, measured on held-out images: every number of diagnostics.json is
defined here and nowhere else.

Tokens are those after the final LayerNorm, of patches alone (CLS is not fed), in float32. Images
are normalised as in training and neither cropped nor flipped. A patch is the square that an output
token stands for, 32 px in SwinV2; a place is a position on the grid of these. Variances are divided
by n, not n - 1, and averaged over the token's dimensions, so that they add up. The first two, the
similarity and the probe are Bridge, Sun et al.'s "patch geometry".

- within_image_variance: variance over an image's patches, mean over images.
- across_image_variance: variance over images of an image's mean token.
- position_variance: variance over places of the mean token at a place, over images; the part of
  within_image_variance that is the same in every image, as position embeddings are (two-way
  analysis of variance).
- content_variance: within_image_variance less position_variance: what depends on image and place
  together.
- total_variance: variance over all patches of all images; within + across, by the law of total
  variance.
- *_share: each of the four over total_variance, which no scaling of the tokens changes; 0 where all
  tokens are equal.
- similarity_by_distance: mean cosine of two patches of one image by the Manhattan distance of their
  places, over all such pairs and images; distance 0, which is 1, is left out.
- effective_rank: exp of the entropy of the singular values over their sum, of the matrix (patches
  of all images, dim), not centred; from 1, all tokens on one line, to dim (Roy and Vetterli 2007,
  "The effective rank", EUSIPCO, definition 1).
- attention_distance_px: for each layer and head, mean over images and queries of the Euclidean
  distance from the query's place to the key's, in pixels, weighted by attention; a layer's `mean`
  is over its heads (Dosovitskiy et al. 2021, figure 7 and appendix D.7). In SwinV2 a query sees its
  window alone, shifted or not, at its stage's resolution; layers count through all stages.
- attention_distance_px.uniform: for each layer the same where all that a query sees weighs alike:
  all places in a ViT, a window's in SwinV2.
- uniform_attention_distance_px: the same where all output tokens of the image weigh alike, whatever
  a window holds.
- cka.parent, cka.random: linear centred kernel alignment with the tokens of the parent stage (null
  where there is none) and of `random`, on the same images, to whose side an encoder of another is
  adapted; rows (patches of all images): |Y'X|^2 / (|X'X| |Y'Y|), Frobenius norms, columns centred;
  1 for rotated or scaled tokens (Kornblith et al. 2019, "Similarity of neural network
  representations revisited").
- probe.test_accuracy: share of held-out patches for which a linear layer on the frozen token names
  the majority trimap class of the patch (a tie goes to the lower class). Bridge, Sun et al. report
  training accuracy for it.
- probe.test_accuracy_se: its standard error, from its spread over test images, which are
  independent as patches are not.
- probe.train_accuracy: the same share on the images that the layer was fitted to.
- probe.floor: test accuracy of always naming the class most common among the test patches.
- probe.place_floor: test accuracy of naming, at each place, the class most common there in
  training: what is known without looking.

`random` holds these numbers for the encoder as its chain of stages began, drawn from the same seed
and not trained; adapted likewise. Every block of SwinV2 begins as the identity.
"""
